use std::time::Duration;

use catena_core::message::Rcode;

use super::*;
use crate::server::receive;
use crate::{Connection, Query};

const ZONE: &str = "a.example.org. 60 IN A 192.0.2.1";

fn datagrams(upstream: &Upstream, query: &Query, count: usize) -> Vec<Vec<u8>> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket
        .send_to(&query.to_wire(), upstream.address())
        .expect("a datagram");
    let next = |_| receive(&socket, PATIENCE).expect("a datagram");
    (0..count).map(next).collect()
}

#[test]
fn an_honest_upstream_answers_over_both_transports() {
    let upstream = Upstream::start(ZONE);
    for query in ["a.example.org. A +edns", "a.example.org. A +tcp +cd"] {
        let answer = upstream.ask(query);
        answer.assert_answer([ZONE]);
        assert_eq!(answer.edns().is_some(), query.contains("edns"));
    }
    upstream
        .ask("b.example.org. A")
        .assert_rcode(Rcode::NXDOMAIN)
        .assert_flags("rd ra");
    assert_eq!((upstream.count(), upstream.count_over(Transport::Tcp)), (3, 1));
}

#[test]
fn every_lie_comes_before_the_answer_and_differs_from_it() {
    let upstream = Upstream::start(ZONE);
    for lie in Lie::ALL {
        upstream.behave(Behaviour::honest().lying(lie));
        let query = Query::from("a.example.org. A");
        let got = datagrams(&upstream, &query, 2);
        let honest = crate::Answer::from_wire(got[1].clone()).expect("the answer");
        honest.assert_answer([ZONE]);
        assert_eq!(got[0] == got[1], lie == Lie::OtherPort, "{lie:?}");
    }
}

#[test]
fn a_held_answer_waits_for_its_release() {
    let upstream = Upstream::start(ZONE);
    upstream.behave_over(Transport::Tcp, Behaviour::honest().held());
    let mut connection = Connection::open(upstream.address());
    connection.send("a.example.org. A +id=1");
    upstream.wait_for(1);
    upstream.behave(Behaviour::honest());
    connection.send("a.example.org. A +id=2");
    assert_eq!(connection.receive().id(), 2);
    upstream.release();
    assert_eq!(connection.receive().id(), 1);
}

#[test]
fn dropped_truncated_and_refused_queries_count_like_others() {
    let upstream = Upstream::start(ZONE);
    upstream.behave(Behaviour::honest().dropping_first(2).truncated());
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for id in 1..=3 {
        let query = Query::from("a.example.org. A").id(id);
        socket
            .send_to(&query.to_wire(), upstream.address())
            .expect("a datagram");
    }
    let wire = receive(&socket, PATIENCE).expect("the third answer");
    let answer = crate::Answer::from_wire(wire).expect("an answer");
    assert_eq!(answer.id(), 3);
    answer.assert_flags("tc rd ra").assert_answer([""; 0]);
    upstream.behave(Behaviour::honest().rcode("SERVFAIL"));
    upstream.ask("a.example.org. A").assert_rcode(Rcode::SERVFAIL);
    let ids: Vec<u16> = upstream.seen().iter().map(Seen::id).collect();
    assert_eq!(ids[..3], [1, 2, 3]);
}

#[test]
fn a_stopped_upstream_refuses_and_comes_back_on_its_port() {
    let upstream = Upstream::start(ZONE);
    let mut connection = Connection::open(upstream.address());
    connection.send("a.example.org. A");
    connection.receive();
    upstream.stop();
    connection.assert_closed();
    assert!(std::net::TcpStream::connect(upstream.address()).is_err());
    upstream.revive();
    upstream.ask("a.example.org. A").assert_answer([ZONE]);
    upstream.ask("a.example.org. A +tcp").assert_answer([ZONE]);
}

#[test]
fn a_script_does_what_it_says() {
    let upstream = Upstream::start(ZONE);
    upstream.behave(Behaviour::scripted(|seen, honest| {
        assert_eq!(seen.question(), "a.example.org. IN A");
        vec![
            Step::SendRaw(vec![0, 3]),
            Step::Wait(Duration::from_millis(1)),
            Step::SendRaw(vec![1, 2, 3]),
            Step::Send(honest.to_vec()),
            Step::Close,
        ]
    }));
    let mut connection = Connection::open(upstream.address());
    connection.send("a.example.org. A");
    assert_eq!(connection.receive_frame(PATIENCE), Some(vec![1, 2, 3]));
    connection.receive().assert_answer([ZONE]);
    assert_eq!(connection.assert_closed(), []);
}
