use std::os::unix::fs::symlink;

use super::*;

#[test]
fn every_way_to_a_file_leads_to_one_lock_whether_or_not_the_file_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("real")).expect("a folder");
    symlink("real", at("folder")).expect("a link to a folder");
    symlink("real/stock.db", at("link")).expect("a link to a file");
    symlink("link", at("link-to-link")).expect("a link to a link");
    let ways = ["real/stock.db", "folder/stock.db", "link", "link-to-link", "real/../link"];
    let lock = at("real").canonicalize().expect("it exists").join("stock.db.lock");
    for is_there in [false, true] {
        if is_there {
            File::create(at("real/stock.db")).expect("a file");
        }
        for way in ways {
            assert_eq!(lock_path(&at(way)), lock, "{way}, is there: {is_there}");
        }
    }
    symlink("circle", at("circle")).expect("a link to itself");
    assert_eq!(lock_path(&at("circle")).file_name(), Some("circle.lock".as_ref()));
}
