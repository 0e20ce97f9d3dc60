use h2::Reason;
use tonic::Status;

use super::is_heard;
use crate::grpc::status;

#[test]
fn what_the_connection_says_is_heard_by_nobody() {
    for reason in (0..=u8::MAX).map(|code| Reason::from(u32::from(code))) {
        let broken = Status::from_error(h2::Error::from(reason).into());
        assert!(!is_heard(&Err(broken)), "{reason:?}");
    }
    let unreadable =
        [Status::internal("a frame of no known kind"), status::unreadable("no field"), status::too_large()];
    for told in unreadable {
        assert!(is_heard(&Err(told.clone())), "{told:?}");
    }
}
