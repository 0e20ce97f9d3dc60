//! Which module of `src/` uses which, read from its sources.
//!
//! A name counts for the module that defines it, also where another one passes it on by `use`. Tests count for nothing.
//! What a method call reaches without a path is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tokens::{Token, lex};

/// A path from the crate's root on, without `crate`.
type Names = Vec<String>;

/// Each module and the others that it uses.
pub(crate) struct Graph(BTreeMap<String, BTreeSet<String>>);

#[derive(Default)]
struct Module {
    /// What `use` calls by another name here, or by a shorter one.
    imports: BTreeMap<String, Names>,
    paths: Vec<Names>,
}

type Modules = BTreeMap<Names, Module>;

impl Graph {
    /// Reads all modules below `src/lib.rs`.
    pub(crate) fn read(src: &Path) -> Self {
        let mut modules = Modules::new();
        read_file(&src.join("lib.rs"), src, Names::new(), &mut modules);
        let uses = modules.iter().map(|(name, module)| {
            let definitions = module.paths.iter().filter_map(|path| definition(&modules, name, path.clone(), 0));
            (name.join("::"), definitions.filter(|other| other != name).map(|other| other.join("::")).collect())
        });
        Self(uses.filter(|(name, _): &(String, _)| !name.is_empty()).collect())
    }

    pub(crate) fn modules(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Each use of another module: who uses it, and which.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, others)| others.iter().map(|other| (name.as_str(), other.as_str())))
    }

    /// Groups of modules each of which uses all others of its group, directly or through others.
    pub(crate) fn circles(&self) -> Vec<Vec<&str>> {
        let reached: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|name| (name.as_str(), self.below(name))).collect();
        let circle = |name: &str| -> Vec<&str> {
            reached[name]
                .iter()
                .copied()
                .filter(|other| reached.get(other).is_some_and(|of| of.contains(name)))
                .collect()
        };
        let circles: BTreeSet<_> = self.0.keys().map(|name| circle(name)).filter(|circle| !circle.is_empty()).collect();
        circles.into_iter().collect()
    }

    /// What a module uses, and what that uses, and so on.
    fn below(&self, name: &str) -> BTreeSet<&str> {
        let (mut found, mut left) = (BTreeSet::new(), vec![name]);
        while let Some(name) = left.pop() {
            for other in self.0.get(name).into_iter().flatten() {
                if found.insert(other.as_str()) {
                    left.push(other);
                }
            }
        }
        found
    }
}

/// The module that defines what a path names; none if that is not of this crate.
fn definition(modules: &Modules, from: &Names, path: Names, passed_on: usize) -> Option<Names> {
    // Two modules that pass on a name of each other do not compile.
    assert!(passed_on < 10, "{path:?} is passed on without end");
    let mut place = Names::new();
    let mut names = path.into_iter();
    while let Some(name) = names.next() {
        place.push(name);
        if modules.contains_key(&place) {
            continue;
        }
        let name = place.pop().unwrap_or_default();
        return match modules[&place].imports.get(&name) {
            Some(import) => {
                let path = import.iter().cloned().chain(names).collect();
                definition(modules, from, path, passed_on + 1)
            }
            None => Some(place),
        };
    }
    // A module that is only named is not used yet.
    Some(from.clone())
}

/// Reads a module and those below it.
fn read_file(file: &Path, folder: &Path, name: Names, modules: &mut Modules) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    read_module(&lex(&text), folder, name, modules);
}

fn read_module(tokens: &[Token], folder: &Path, name: Names, modules: &mut Modules) {
    let children = children(tokens);
    let mut reader = Reader {
        name: &name,
        children: children.iter().map(|(child, _)| child.clone()).collect(),
        module: Module::default(),
    };
    reader.read(tokens);
    let module = reader.module;
    modules.insert(name.clone(), module);
    for (child, content) in children {
        let (file, folder) = (folder.join(format!("{child}.rs")), folder.join(&child));
        let name = name.iter().cloned().chain([child]).collect();
        match content {
            Some(tokens) => read_module(tokens, &folder, name, modules),
            None => read_file(&file, &folder, name, modules),
        }
    }
}

/// The modules that are declared here, and what those with a body here contain.
fn children(tokens: &[Token]) -> Vec<(String, Option<&[Token]>)> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if is_attribute_of_tests(first, rest) {
            rest = behind_item(rest);
        } else if let (true, [Token::Word(name), content, ..]) = (first.is_word("mod"), rest) {
            let content = match content {
                Token::Group('{', tokens) => Some(tokens.as_slice()),
                _ => None,
            };
            found.push((name.clone(), content));
        }
    }
    found
}

/// `#[cfg(test)]` or `#[test]`.
fn is_attribute_of_tests(first: &Token, rest: &[Token]) -> bool {
    let [Token::Group('[', attribute), ..] = rest else { return false };
    let of_tests = match attribute.as_slice() {
        [name] => name.is_word("test"),
        [name, Token::Group('(', of)] => name.is_word("cfg") && matches!(of.as_slice(), [of] if of.is_word("test")),
        _ => false,
    };
    first.is_mark('#') && of_tests
}

/// An item ends with a semicolon or a body.
fn behind_item(tokens: &[Token]) -> &[Token] {
    let is_end = |token: &Token| token.is_mark(';') || matches!(token, Token::Group('{', _));
    let end = tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1);
    &tokens[end..]
}

/// Gathers what one module imports and names.
struct Reader<'a> {
    name: &'a Names,
    children: BTreeSet<String>,
    module: Module,
}

impl Reader<'_> {
    fn read(&mut self, tokens: &[Token]) {
        let mut rest = tokens;
        while let Some((first, others)) = rest.split_first() {
            rest = others;
            match first {
                _ if is_attribute_of_tests(first, rest) => rest = behind_item(rest),
                Token::Word(word) if word == "use" => {
                    let end = rest.iter().position(|token| token.is_mark(';')).unwrap_or(rest.len());
                    self.import(&rest[..end], &Names::new());
                    rest = &rest[end..];
                }
                // Another module.
                Token::Word(word) if word == "mod" => rest = behind_item(rest),
                // From where something may be seen is no use.
                Token::Word(word) if word == "pub" => {
                    if let [Token::Group('(', _), others @ ..] = rest {
                        rest = others;
                    }
                }
                Token::Word(first) => {
                    let (path, behind) = leading_path(first, rest);
                    self.module.paths.extend(self.absolute(&path));
                    rest = behind;
                }
                Token::Group(_, tokens) => self.read(tokens),
                Token::Mark(_) => {}
            }
        }
    }

    /// What `use` brings in: a path, the last part of which may be a group of others.
    fn import(&mut self, tree: &[Token], before: &Names) {
        let Some((first, rest)) = tree.split_first() else { return };
        match first {
            Token::Group(_, trees) => {
                trees.split(|token| token.is_mark(',')).for_each(|tree| self.import(tree, before));
            }
            Token::Word(first) => {
                let (path, rest) = leading_path(first, rest);
                let mut path: Names = before.iter().cloned().chain(path).collect();
                match rest {
                    [colon, _, others @ ..] if colon.is_mark(':') => self.import(others, &path),
                    [_, Token::Word(name)] => self.add_import(name.clone(), path),
                    _ => {
                        path.pop_if(|last| last == "self" && !before.is_empty());
                        if let Some(name) = path.last().cloned() {
                            self.add_import(name, path);
                        }
                    }
                }
            }
            Token::Mark(_) => self.module.paths.extend(self.absolute(before)),
        }
    }

    fn add_import(&mut self, name: String, path: Names) {
        if let Some(path) = self.absolute(&path) {
            self.module.paths.push(path.clone());
            self.module.imports.insert(name, path);
        }
    }

    /// A path from the root on; none if it leads out of the crate.
    fn absolute(&self, path: &[String]) -> Option<Names> {
        let (mut place, mut rest, mut is_of_crate) = (self.name.clone(), path, false);
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => place.clear(),
                "self" => {}
                "super" => drop(place.pop()),
                _ => break,
            }
            (rest, is_of_crate) = (others, true);
        }
        let (first, others) = rest.split_first()?;
        if !is_of_crate && !self.children.contains(first) {
            let import = self.module.imports.get(first)?;
            return Some(import.iter().chain(others).cloned().collect());
        }
        place.extend(rest.iter().cloned());
        Some(place)
    }
}

/// The path that begins with a word, as far as it consists of words, and what comes behind it.
fn leading_path<'a>(first: &str, mut rest: &'a [Token]) -> (Names, &'a [Token]) {
    let mut path = vec![first.to_owned()];
    while let [one, two, Token::Word(name), others @ ..] = rest
        && one.is_mark(':')
        && two.is_mark(':')
    {
        path.push(name.clone());
        rest = others;
    }
    (path, rest)
}
