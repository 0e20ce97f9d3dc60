//! As much of MySQL's wire protocol as it takes to find a COMMIT and the answer to it.

/// Finds the packets in what one side of a connection sends, wherever chunks end. A packet is its length in three
/// bytes, a number, and the content.
#[derive(Default)]
pub(super) struct Packets {
    /// The beginning of a packet that is not complete yet.
    begun: Vec<u8>,
}

impl Packets {
    /// Adds a chunk, and answers the contents of the packets that are complete now.
    pub(super) fn complete(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.begun.extend_from_slice(bytes);
        let mut complete = Vec::new();
        while let [low, middle, high, _, content @ ..] = &self.begun[..] {
            let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
            let Some(content) = content.get(..length) else { break };
            complete.push(content.to_vec());
            self.begun.drain(..4 + length);
        }
        complete
    }
}

/// Whether the statements of a packet end with a COMMIT.
pub(super) fn commits(packet: &[u8]) -> bool {
    const QUERY: u8 = 3;
    packet.first() == Some(&QUERY) && packet.to_ascii_uppercase().ends_with(b"COMMIT")
}

/// Whether this answer is the last one to the statements of a packet. None of the statements may ask for rows.
pub(super) fn is_last_answer(packet: &[u8]) -> bool {
    const OK: u8 = 0;
    const MORE_FOLLOW: u8 = 8;
    // Two numbers stand before the flags. The first byte of each says how long it is.
    let skip_number = |bytes: &mut &[u8]| {
        let length = match bytes.first() {
            Some(0xfc) => 3,
            Some(0xfd) => 4,
            Some(0xfe) => 9,
            _ => 1,
        };
        *bytes = bytes.get(length..).unwrap_or_default();
    };
    let Some((&OK, mut rest)) = packet.split_first() else { return true };
    skip_number(&mut rest);
    skip_number(&mut rest);
    rest.first().is_none_or(|flags| flags & MORE_FOLLOW == 0)
}
