//! Who makes room when there are more callers than places.

use super::*;

#[tokio::test]
async fn for_a_fresh_caller_the_connection_that_has_been_idle_longest_goes() {
    let it = start(at_most(4)).await;
    let mut busy = Http2::connect(it.address).await;
    let call = begin(&mut busy).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut client = Http2::connect(it.address).await;
        check(&mut client).await;
        idle.push(client);
    }
    // The first of them is no longer the one that has been idle longest.
    check(&mut idle[0]).await;

    let mut fresh = Http2::connect(it.address).await;
    check(&mut fresh).await;
    idle.remove(1).ended().await;
    for client in &mut idle {
        check(client).await;
    }
    check(&mut busy).await;
    drop((call, idle, busy, fresh));
    it.end().await;
}

#[tokio::test]
async fn connections_without_a_request_make_room_before_all_others() {
    let it = start(at_most(3)).await;
    let mut known = Http2::connect(it.address).await;
    check(&mut known).await;
    let mut silent = TcpStream::connect(it.address).await.expect("connects");
    // What the service says first shows that it has accepted.
    silent.read_u8().await.expect("settings");
    let greeted = Http2::connect(it.address).await;

    let mut fresh = Http2::connect(it.address).await;
    check(&mut fresh).await;
    timeout(BOUND, silent.read_to_end(&mut Vec::new())).await.expect("the oldest one is closed").expect("is closed");
    let mut fresher = Http2::connect(it.address).await;
    check(&mut fresher).await;
    greeted.ended().await;
    check(&mut known).await;
    drop((known, fresh, fresher));
    it.end().await;
}

#[tokio::test]
async fn a_fresh_caller_has_time_for_the_first_request() {
    let it = start(at_most(8)).await;
    let mut known = Vec::new();
    for _ in 0..7 {
        let mut client = Http2::connect(it.address).await;
        check(&mut client).await;
        known.push(client);
    }
    let mut fresh = Http2::connect(it.address).await;
    // From then on all the others are idle.
    sleep(IDLE_MIN).await;
    let mut silent = TcpStream::connect(it.address).await.expect("connects");
    silent.read_u8().await.expect("settings");
    check(&mut fresh).await;
    known.remove(0).ended().await;
    drop((known, fresh, silent));
    it.end().await;
}

#[tokio::test]
async fn a_flood_of_connections_without_a_request_keeps_nobody_out() {
    let it = start(at_most(20)).await;
    let mut known = Http2::connect(it.address).await;
    check(&mut known).await;
    let mut flood = Vec::new();
    for number in 0..200 {
        if number % 2 == 0 {
            flood.push((None, Some(TcpStream::connect(it.address).await.expect("connects"))));
        } else {
            flood.push((Some(Http2::connect(it.address).await), None));
        }
        if number % 50 == 0 {
            check(&mut Http2::connect(it.address).await).await;
        }
    }
    check(&mut known).await;
    drop((known, flood));
    it.end().await;
}

#[tokio::test]
async fn while_no_connection_is_at_rest_a_fresh_caller_waits() {
    let it = start(at_most(1)).await;
    let mut busy = Http2::connect(it.address).await;
    let call = begin(&mut busy).await;
    let address = it.address;
    let fresh = tokio::spawn(async move { check(&mut Http2::connect(address).await).await });
    check(&mut busy).await;
    assert!(!fresh.is_finished(), "the only connection is in use");
    drop(call);
    timeout(BOUND, fresh).await.expect("is served when the other one is idle").expect("is answered");
    drop(busy);
    it.end().await;
}

#[tokio::test]
async fn connections_whose_streams_only_wait_make_room() {
    let it = start(at_most(3)).await;
    let mut watching = Http2::connect(it.address).await;
    let mut watched = watch(&mut watching).await;
    let mut in_session = Http2::connect(it.address).await;
    let (answer, requests) = in_session.post(SESSION, false).await;
    let mut answers = timeout(BOUND, answer).await.expect("is not late").expect("a session").into_body();
    let mut known = Http2::connect(it.address).await;
    check(&mut known).await;

    let mut fresh = Http2::connect(it.address).await;
    check(&mut fresh).await;
    assert!(watched.data().await.is_none(), "the watch has ended");
    watched.trailers().await.expect("it is complete").expect("trailers");
    watching.ended().await;

    check(&mut known).await;
    let mut fresher = Http2::connect(it.address).await;
    check(&mut fresher).await;
    let word = answers.data().await.expect("a word").expect("a word");
    assert!(v1::SessionResponse::decode(&word[5..]).expect("a word").going_away);
    answers.trailers().await.expect("it is complete").expect("trailers");
    drop(requests);
    in_session.ended().await;
    drop((known, fresh, fresher));
    it.end().await;
}

#[tokio::test]
async fn a_caller_who_does_not_read_streams_that_wait_makes_room_too() {
    for path in [WATCH, SESSION] {
        let it = start(ConnectionsConfig { stall_max: FOR_EVER, ..at_most(1) }).await;
        let mut client = Http2::connect_as(it.address, h2::client::Builder::new().initial_window_size(0)).await;
        let (answer, mut requests) = client.post(path, false).await;
        if path == WATCH {
            requests.send_data(framed(&[]), false).expect("is sent");
        }
        let answer = timeout(BOUND, answer).await.expect("is not late").expect("an answer");
        let mut fresh = Http2::connect(it.address).await;
        timeout(BOUND, check(&mut fresh)).await.expect(path);
        client.connection.abort();
        drop((answer, requests, fresh));
        it.end().await;
    }
}

#[tokio::test]
async fn a_caller_who_was_told_to_go_cannot_stay_by_beginning_calls() {
    let it = start(at_most(1)).await;
    let deaf = Arc::new(AtomicBool::new(false));
    let mut client = Http2::connect_through(it.address, &h2::client::Builder::new(), deaf.clone()).await;
    let watched = watch(&mut client).await;
    deaf.store(true, Ordering::Relaxed);
    let address = it.address;
    let fresh = tokio::spawn(async move { check(&mut Http2::connect(address).await).await });
    // By then the caller was told, but a deaf one does not say that they have heard.
    sleep(10 * IDLE_MIN).await;
    let mut begun = Vec::new();
    eventually("the fresh caller is served", BOUND, async || {
        // Each call takes two seconds, because its request does not arrive.
        if let Ok(mut calls) = client.calls.clone().ready().await {
            let request =
                Request::post(format!("http://localhost{RESERVE}")).header("content-type", "application/grpc");
            begun.extend(calls.send_request(request.body(()).expect("a request"), false));
        }
        sleep(IDLE_MIN).await;
        fresh.is_finished()
    })
    .await;
    fresh.await.expect("is served");
    client.connection.abort();
    drop((watched, begun));
    it.end().await;
}
