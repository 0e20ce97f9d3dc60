//! The command line as a client: the real binary against a real service, and against servers that are none.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::server::{Instance, stockhold};

fn run(line: &str, address: &str) -> Output {
    stockhold().args(line.split_whitespace()).env("STOCKHOLD_ADDR", address).output().expect("stockhold runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command, its exit code, and what it must print: on stdout if it was done, else on stderr.
type Step = (&'static str, i32, &'static [&'static str]);

#[tokio::test]
async fn a_session_on_the_command_line() {
    let service = Instance::embedded().start();
    let session: &[Step] = &[
        ("stock list", 0, &["no stock"]),
        ("stock set sku-a=10 sku-b=5", 0, &["AVAILABLE", "sku-a       10", "sku-b        5"]),
        ("stock adjust sku-a=+2 sku-b=-1 --reason count", 0, &["sku-a       12", "sku-b        4"]),
        ("stock set sku-a=1 --expected-version 0", 1, &["VERSION_MISMATCH: sku-a: ", "request id "]),
        ("reserve order-1 sku-a=2 sku-b=1 --ttl 10m", 0, &["order-1 in default: HELD, expires in ", "sku-a      2"]),
        (
            "reserve order-2 sku-a=11",
            1,
            &["INSUFFICIENT_STOCK: sku-a: requested 11, available 10, held 2", "request id "],
        ),
        ("reserve order-2 sku-a=11 sku-b=4", 1, &["sku-a: requested 11", "sku-b: requested 4, available 3, held 1"]),
        ("reserve order-2 sku-x=1", 1, &["UNKNOWN_SKU: sku-x"]),
        ("reserve order-2 sku-a=0", 1, &["INVALID_FIELD: lines[0].quantity: "]),
        ("reservations --sku sku-b", 0, &["order-1", "sku-a=2 sku-b=1", "expires in "]),
        ("reservations --sku sku-x", 0, &["no live reservations"]),
        ("extend order-1 --by 5m", 0, &["HELD, expires in 14m "]),
        ("show order-1", 0, &["HELD, expires in 14m "]),
        ("show order-9", 1, &["RESERVATION_NOT_FOUND: "]),
        ("confirm order-1 sku-a=1", 0, &["CONFIRMED, since ", "sku-a      1"]),
        ("cancel order-1", 1, &["RESERVATION_CONFIRMED: "]),
        ("cancel order-3", 0, &["order-3 in default: CANCELLED"]),
        ("reserve order-3 sku-a=1", 1, &["RESERVATION_CANCELLED: "]),
        ("show order-1 --json", 0, &[r#""state": "RESERVATION_STATE_CONFIRMED""#, r#""quantity": 1"#]),
        ("stock get sku-a sku-b --json", 0, &[r#""onHand": "11""#, r#""held": "0""#]),
        ("stock get sku-a --location elsewhere", 1, &["UNKNOWN_SKU: sku-a"]),
        ("reconcile", 0, &["compared: 2 skus", "differences: 0"]),
        ("health", 0, &["(server)", "stockhold.v1.ReservationService  SERVING", "stockhold.v1.StockService"]),
        ("health stockhold.v1.StockService --json", 0, &[r#""service": "stockhold.v1.StockService""#, r#""SERVING""#]),
        ("version", 0, &[concat!("stockhold ", env!("CARGO_PKG_VERSION"), " (")]),
        ("completions bash", 0, &["complete -F _stockhold"]),
        ("reserve order-4", 2, &["Usage: stockhold reserve"]),
    ];
    for &(line, exit_code, expected) in session {
        let output = run(line, &service.address().to_string());
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit_code), "{line}\n{stdout}{stderr}");
        let (said, silent) = if exit_code == 0 { (stdout, stderr) } else { (stderr, stdout) };
        assert_eq!(silent, "", "{line}");
        for text in expected {
            assert!(said.contains(text), "{line}: {text:?} is not in\n{said}");
        }
    }
}

/// A port that was free a moment ago: nothing listens on it.
fn closed_port() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").to_string()
}

#[test]
fn a_missing_service_is_named() {
    let address = closed_port();
    let output = run("show order-1", &address);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains(&format!("error: no stockhold service at http://{address}")), "{text}");
    assert!(text.contains("stockhold serve"), "{text}");
}

#[test]
fn health_of_something_unknown_is_a_failure() {
    let service = Instance::embedded().start();
    let output = run("health stockhold.v2.Nothing", &service.address().to_string());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("SERVICE_UNKNOWN"), "{output:?}");
}

#[test]
fn errors_are_json_where_answers_are() {
    let service = Instance::embedded().start();
    let error = |line: &str, address: &str| -> Value {
        let output = run(line, address);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{line}: {output:?}");
        serde_json::from_slice(&output.stderr).unwrap_or_else(|error| panic!("{line}: {error}: {output:?}"))
    };
    let address = service.address().to_string();

    let refused = &error("reserve order-1 sku-x=1 --json", &address)["error"];
    assert_eq!((&refused["code"], &refused["reason"]), (&json!("NOT_FOUND"), &json!("UNKNOWN_SKU")));
    assert!(refused["message"].as_str().is_some_and(|message| message.contains("sku-x")), "{refused}");
    assert!(refused["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{refused}");
    assert_eq!(refused["details"][1]["resourceName"], "sku-x", "{refused}");
    assert_eq!(refused["repeatWith"], Value::Null);

    let unreachable = &error("confirm order-1 --json", &closed_port())["error"];
    assert_eq!((&unreachable["code"], &unreachable["repeatWith"]), (&Value::Null, &Value::Null));
    assert!(
        unreachable["message"].as_str().is_some_and(|text| text.starts_with("no stockhold service")),
        "{unreachable}"
    );
}

/// A server that says `words` to every connection and then keeps it open.
fn server_that_says(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.write_all(words);
            open.push(connection);
        }
    });
    address
}

/// An HTTP/2 server that knows no path.
async fn http2_without_grpc() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(connection).await.expect("a client of HTTP/2");
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let not_found = http::Response::builder().status(404).body(()).expect("a response");
                respond.send_response(not_found, true).expect("the client waits for it");
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_speaks_no_grpc_is_told_in_one_line() {
    for address in [
        server_that_says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        server_that_says(b"-ERR unknown command\r\n"),
        server_that_says(b"SSH-2.0-OpenSSH_9.2\r\n"),
        server_that_says(b""),
        http2_without_grpc().await,
    ] {
        let output = run("cancel order-1 --timeout 2s", &address.to_string());
        let text = format!(
            "the server at http://{address} does not answer in gRPC; name another with --addr or STOCKHOLD_ADDR"
        );
        assert_eq!((output.status.code(), stderr(&output)), (Some(1), format!("error: {text}\n")));
    }
}

/// A proxy that ends TLS in front of a service. Answers where it listens, and its own certificate authority as PEM.
async fn tls_proxy(service: SocketAddr) -> (SocketAddr, String) {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a private key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .expect("the key fits the certificate");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate ends here.
                let Ok(mut caller) = acceptor.accept(connection).await else { return };
                let mut service = tokio::net::TcpStream::connect(service).await.expect("the service listens");
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut service).await;
            });
        }
    });
    (address, certificate.cert.pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_to_a_server_with_a_trusted_certificate() {
    let service = Instance::embedded().start();
    let (address, ca) = tls_proxy(service.address()).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca).expect("the folder can be written to");
    let https = format!("https://localhost:{}", address.port());

    let output = run(&format!("stock set sku-a=3 --ca-file {}", ca_file.display()), &https);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("sku-a        3"), "{output:?}");

    let untrusted = run("stock get sku-a", &https);
    assert_eq!(untrusted.status.code(), Some(1));
    assert!(stderr(&untrusted).contains("certificate"), "{}", stderr(&untrusted));
    assert!(stderr(&untrusted).contains("--ca-file"), "{}", stderr(&untrusted));

    // The service's own port has no TLS.
    let plain =
        run(&format!("stock get sku-a --ca-file {}", ca_file.display()), &format!("https://{}", service.address()));
    assert_eq!(plain.status.code(), Some(1));
    assert!(stderr(&plain).contains("write http://"), "{}", stderr(&plain));
}
