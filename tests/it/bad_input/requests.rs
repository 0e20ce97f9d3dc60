//! Requests, from quite good to nothing at all: messages whose every field is sometimes nasty, damaged on the way, in
//! frames that lie.

mod messages;

use std::fmt::Debug;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message;
use stockhold::grpc::{MESSAGE_BYTES_MAX, v1};

use self::messages::{
    adjust_stock, cancel, cancel_many, confirm, confirm_many, extend, get_reservation, get_stock, list_reservations,
    list_stock, locations, reserve, reserve_many, session, set_stock,
};

/// Every RPC of both services.
pub(super) const RPCS: [&str; 15] = [
    "ReservationService/Reserve",
    "ReservationService/Confirm",
    "ReservationService/Cancel",
    "ReservationService/Extend",
    "ReservationService/GetReservation",
    "ReservationService/ListReservations",
    "ReservationService/ReserveMany",
    "ReservationService/ConfirmMany",
    "ReservationService/CancelMany",
    "ReservationService/Session",
    "StockService/SetStock",
    "StockService/AdjustStock",
    "StockService/GetStock",
    "StockService/ListStock",
    "StockService/Reconcile",
];

/// The content type of a call.
const GRPC: &str = "application/grpc";

/// A flag and a length stand before a message.
const FRAME_BYTES: usize = 5;

/// Those that change nothing even when they are answered OK. Reconcile is one of them as long as there is nothing to
/// repair.
const READS: [&str; 5] = [
    "ReservationService/GetReservation",
    "ReservationService/ListReservations",
    "StockService/GetStock",
    "StockService/ListStock",
    "StockService/Reconcile",
];

/// Page tokens that the service gave.
pub(super) struct Tokens {
    pub(super) of_stock: String,
    pub(super) of_reservations: String,
}

/// One request.
#[derive(Debug)]
pub(super) struct Case {
    /// Without the slash at its beginning.
    pub(super) path: String,
    message: Payload,
    damages: Vec<Damage>,
    frame: Frame,
    metadata: Vec<(&'static str, HeaderValue)>,
}

/// A message before it is damaged, and what it says.
struct Payload {
    rpc: &'static str,
    says: String,
    bytes: Vec<u8>,
}

impl Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.says)
    }
}

impl Payload {
    fn of<M: Message + Debug>(rpc: &'static str, message: &M) -> Self {
        Self { rpc, says: format!("{message:?}"), bytes: message.encode_to_vec() }
    }
}

/// What goes wrong with a message on its way.
#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    BitFlipped(Index, u8),
    Inserted(Index, u8),
    Followed(Vec<u8>),
}

/// How a message is framed.
#[derive(Clone, Debug)]
enum Frame {
    Right,
    /// 1 says that it is compressed.
    Flag(u8),
    /// A length that may not be that of the message.
    Length(u32),
    /// The frame ends early.
    Cut(Index),
    Twice,
    Followed(Vec<u8>),
    /// The message without a frame.
    None,
    Nothing,
}

impl Case {
    /// The RPC that is asked for.
    pub(super) fn rpc(&self) -> &'static str {
        let path = self.path.strip_prefix("stockhold.v1.");
        RPCS.into_iter().find(|rpc| path == Some(rpc)).unwrap_or("no RPC")
    }

    /// True if its headers are those of a call of gRPC.
    pub(super) fn is_a_call(&self) -> bool {
        self.headers()["content-type"] == GRPC
    }

    /// True if it may change a store when it is done.
    pub(super) fn writes(&self) -> bool {
        !READS.contains(&self.rpc())
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("te", HeaderValue::from_static("trailers"));
        headers.insert("content-type", HeaderValue::from_static(GRPC));
        let own = self.metadata.iter().map(|(name, value)| (HeaderName::from_static(name), value.clone()));
        // In the place of those above.
        headers.extend(own.map(|(name, value)| (Some(name), value)));
        headers
    }

    pub(super) fn body(&self) -> Vec<u8> {
        let message = self.damages.iter().fold(self.message.bytes.clone(), damage);
        let frame = |flag: u8, length: u32| [&[flag][..], &length.to_be_bytes(), &message].concat();
        let right = frame(0, u32::try_from(message.len()).expect("it is not that long"));
        match &self.frame {
            Frame::Right => right,
            Frame::Flag(flag) => [&[*flag], &right[1..]].concat(),
            Frame::Length(length) => frame(0, *length),
            Frame::Cut(at) => right[..at.index(right.len())].into(),
            Frame::Twice => [&right[..], &right].concat(),
            Frame::Followed(bytes) => [&right[..], bytes].concat(),
            Frame::None => message,
            Frame::Nothing => Vec::new(),
        }
    }

    /// Whether there are bytes behind a first message that a session can read.
    pub(super) fn is_followed(&self) -> bool {
        let body = self.body();
        let Some((head, rest)) = body.split_at_checked(FRAME_BYTES) else { return false };
        let length = u32::from_be_bytes(head[1..].try_into().expect("four bytes")) as usize;
        let readable = |first: &[u8]| length <= MESSAGE_BYTES_MAX && v1::SessionRequest::decode(first).is_ok();
        head[0] == 0 && length < rest.len() && readable(&rest[..length])
    }

    /// Fails unless the answer is a message of this RPC; a session has any number of them.
    pub(super) fn read_answer(&self, mut body: Bytes) {
        let mut messages = 0;
        while !body.is_empty() {
            assert_eq!(body[0], 0, "it is not compressed");
            let length = u32::from_be_bytes(body[1..FRAME_BYTES].try_into().expect("four bytes"));
            let mut frame = body.split_to(FRAME_BYTES + length as usize);
            self.read_message(frame.split_off(FRAME_BYTES));
            messages += 1;
        }
        assert!(messages == 1 || self.rpc() == "ReservationService/Session", "{messages} messages");
    }

    fn read_message(&self, message: Bytes) {
        let read = match self.rpc() {
            "ReservationService/Reserve" => v1::ReserveResponse::decode(message).map(drop),
            "ReservationService/Confirm" => v1::ConfirmResponse::decode(message).map(drop),
            "ReservationService/Cancel" => v1::CancelResponse::decode(message).map(drop),
            "ReservationService/Extend" => v1::ExtendResponse::decode(message).map(drop),
            "ReservationService/GetReservation" => v1::GetReservationResponse::decode(message).map(drop),
            "ReservationService/ListReservations" => v1::ListReservationsResponse::decode(message).map(drop),
            "ReservationService/ReserveMany" => v1::ReserveManyResponse::decode(message).map(drop),
            "ReservationService/ConfirmMany" => v1::ConfirmManyResponse::decode(message).map(drop),
            "ReservationService/CancelMany" => v1::CancelManyResponse::decode(message).map(drop),
            "ReservationService/Session" => v1::SessionResponse::decode(message).map(drop),
            "StockService/SetStock" => v1::SetStockResponse::decode(message).map(drop),
            "StockService/AdjustStock" => v1::AdjustStockResponse::decode(message).map(drop),
            "StockService/GetStock" => v1::GetStockResponse::decode(message).map(drop),
            "StockService/ListStock" => v1::ListStockResponse::decode(message).map(drop),
            "StockService/Reconcile" => v1::ReconcileResponse::decode(message).map(|report| {
                assert_eq!(report.findings, [], "no request leaves anything to repair");
            }),
            other => panic!("{other} was answered"),
        };
        read.expect("an answer of this RPC");
    }
}

fn damage(mut bytes: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        Damage::BitFlipped(at, bit) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << (bit % 8);
        }
        Damage::BitFlipped(..) => {}
        Damage::Inserted(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
        Damage::Followed(more) => bytes.extend(more),
    }
    bytes
}

pub(super) fn cases(tokens: &Tokens) -> impl Strategy<Value = Case> + use<> {
    let path = prop_oneof![
        40 => Just(None),
        2 => select(&RPCS[..]).prop_map(|rpc| Some(format!("stockhold.v1.{rpc}"))),
        1 => select(vec![
            "",
            "stockhold.v1.ReservationService",
            "stockhold.v1.ReservationService/",
            "stockhold.v1.ReservationService/reserve",
            "stockhold.v1.ReservationService/Reserve/",
            "stockhold.v2.ReservationService/Reserve",
            "%00",
            "a/b/c",
        ])
        .prop_map(|path| Some(path.to_owned())),
    ];
    let damages = prop_oneof![3 => Just(Vec::new()), 1 => vec(damages(), 1..4)];
    (path, payloads(tokens), damages, frames(), metadata()).prop_map(|(path, message, damages, frame, metadata)| Case {
        path: path.unwrap_or_else(|| format!("stockhold.v1.{}", message.rpc)),
        message,
        damages,
        frame,
        metadata,
    })
}

fn payloads(tokens: &Tokens) -> impl Strategy<Value = Payload> + use<> {
    let by_rpc = prop_oneof![
        5 => messages("ReservationService/Reserve", reserve()),
        3 => messages("ReservationService/Confirm", confirm()),
        1 => messages("ReservationService/Cancel", cancel()),
        3 => messages("ReservationService/Extend", extend()),
        1 => messages("ReservationService/GetReservation", get_reservation()),
        2 => messages("ReservationService/ListReservations", list_reservations(tokens)),
        1 => messages("ReservationService/ReserveMany", reserve_many()),
        1 => messages("ReservationService/ConfirmMany", confirm_many()),
        1 => messages("ReservationService/CancelMany", cancel_many()),
        4 => messages("ReservationService/Session", session()),
        3 => messages("StockService/SetStock", set_stock()),
        3 => messages("StockService/AdjustStock", adjust_stock()),
        1 => messages("StockService/GetStock", get_stock()),
        2 => messages("StockService/ListStock", list_stock(tokens)),
    ];
    let reconcile = (locations(), any::<bool>())
        .prop_map(|(location, validate_only)| v1::ReconcileRequest { location, validate_only });
    let no_message =
        (select(&RPCS[..]), bytes()).prop_map(|(rpc, bytes)| Payload { rpc, says: format!("{bytes:?}"), bytes });
    // Reconcile reads everything, so it is not asked for as often.
    prop_oneof![24 => by_rpc, 1 => messages("StockService/Reconcile", reconcile), 3 => no_message]
}

fn messages<M: Message + Debug>(
    rpc: &'static str,
    message: impl Strategy<Value = M> + 'static,
) -> impl Strategy<Value = Payload> {
    message.prop_map(move |message| Payload::of(rpc, &message))
}

/// What is no message of ours, or hardly.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..64),
        // Fields of any number and type, some of them with a length that is a lie.
        4 => vec((1_u8..8, 0_u8..8, vec(any::<u8>(), 0..8)), 0..8).prop_map(|fields| {
            let field = |(number, kind, rest): (u8, u8, Vec<u8>)| [&[number << 3 | kind][..], &rest].concat();
            fields.into_iter().flat_map(field).collect()
        }),
        // Groups within groups.
        1 => (1_usize..5000).prop_map(|depth| vec![0x0b; depth]),
        1 => select(vec![MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1, 3 * MESSAGE_BYTES_MAX])
            .prop_map(|length| vec![0; length]),
    ]
}

fn damages() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        1 => at().prop_map(Damage::Cut),
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Damage::BitFlipped(at, bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Inserted(at, byte)),
        1 => bytes().prop_map(Damage::Followed),
    ]
}

fn frames() -> impl Strategy<Value = Frame> {
    prop_oneof![
        50 => Just(Frame::Right),
        1 => prop_oneof![Just(1_u8), any::<u8>()].prop_map(Frame::Flag),
        1 => prop_oneof![0_u32..200, select(&[u32::MAX, 1 << 31, 1 << 20][..])].prop_map(Frame::Length),
        1 => any::<Index>().prop_map(Frame::Cut),
        1 => Just(Frame::Twice),
        1 => bytes().prop_map(Frame::Followed),
        1 => Just(Frame::None),
        1 => Just(Frame::Nothing),
    ]
}

/// Most of it is nasty, and most requests have none.
fn metadata() -> impl Strategy<Value = Vec<(&'static str, HeaderValue)>> {
    let any_value = vec(any::<u8>(), 0..200);
    let timeouts = select(vec![
        "",
        "1",
        "S",
        "0n",
        "1n",
        "1u",
        "99999999H",
        "999999999S",
        "-1S",
        "1.5S",
        "1e3S",
        "NaNS",
        "infS",
        "1x",
        " 1S",
        "1S ",
        "é",
        "1s",
        "0000000000000000S",
    ]);
    let ids = select(vec!["", "trace-1", "two words", "é", "\t"]).prop_map(str::to_owned);
    let long_id = (120_usize..140).prop_map(|length| "x".repeat(length));
    let entry = prop_oneof![
        timeouts.prop_map(|text| ("grpc-timeout", text.as_bytes().to_vec())),
        prop_oneof![ids, long_id].prop_map(|text| ("x-request-id", text.into_bytes())),
        any_value.clone().prop_map(|value| ("x-request-id", value)),
        any_value.clone().prop_map(|value| ("grpc-timeout", value)),
        any_value.prop_map(|value| ("anything-bin", value)),
        select(&["gzip", "identity", "deflate, gzip", ""][..])
            .prop_map(|coding| ("grpc-encoding", coding.as_bytes().to_vec())),
        select(&["application/grpc+json", "text/html", ""][..])
            .prop_map(|kind| ("content-type", kind.as_bytes().to_vec())),
    ];
    // Other bytes do not get as far as the service.
    let entry = entry.prop_filter_map("a header", |(name, value)| Some((name, HeaderValue::from_bytes(&value).ok()?)));
    prop_oneof![9 => Just(Vec::new()), 1 => vec(entry, 1..3)]
}
