//! The plugin in a server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use catena_core::message::{Owner, RdataWriter, Request};
use catena_core::plugin::{AtOnce, Definition, Plugin};
use catena_testkit::{Query, TestServer};

use crate::PLUGIN;
use crate::header::testing::{v2, v2_of};

const TXT: u16 = 16;
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers with the addresses that a plugin sees.
const ENDS: Definition = Definition::new("ends", |setup| {
    setup.add(Ends);
    Ok(())
});

struct Ends;

impl Plugin for Ends {
    fn name(&self) -> &'static str {
        "ends"
    }

    fn serve_at_once(&self, request: &mut Request) -> AtOnce {
        let ip = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port()).to_string();
        let text = format!(
            "{} to {}",
            ip(request.peer()),
            request.local().ip().to_canonical()
        );
        let mut reply = request.reply();
        let data = |rdata: &mut RdataWriter<'_>| {
            rdata.u8(text.len() as u8);
            rdata.bytes(text.as_bytes());
        };
        reply.answer(Owner::Question, TXT, 1, 60, data);
        AtOnce::Answer(reply.finish().into())
    }
}

fn server(options: &str) -> TestServer {
    let corefile = format!(".:@PORT@ {{\n proxyproto {{\n {options}\n }}\n ends\n}}");
    TestServer::start([PLUGIN, ENDS], &corefile)
}

fn query() -> Vec<u8> {
    Query::new("a.example.org.", "TXT").to_wire()
}

/// The text in the answer: all that is behind the question, the owner and the fixed part of the record.
fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[query().len() + 13..]).into_owned()
}

fn exchange(socket: &UdpSocket, bytes: &[u8]) -> String {
    socket.send(bytes).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).expect("an answer");
    text(&answer[..length])
}

fn socket(server: &TestServer) -> UdpSocket {
    let socket = server.udp_socket();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn behind(header: &[u8]) -> Vec<u8> {
    [header, &query()].concat()
}

fn frame() -> Vec<u8> {
    [&(query().len() as u16).to_be_bytes()[..], &query()].concat()
}

fn receive(stream: &mut TcpStream) -> String {
    let mut length = [0; 2];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer).expect("a whole answer");
    text(&answer)
}

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_datagram_comes_from_the_client_that_its_header_names_and_is_answered_to_the_proxy() {
    let server = server("");
    let socket = socket(&server);
    assert_eq!(
        exchange(&socket, &behind(&v2_of(0x12))),
        "192.0.2.77:4660 to 127.0.0.1"
    );
    let mut v6 = vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];
    v6.extend_from_slice(&[0; 16]);
    v6.extend_from_slice(&[0x12, 0x35, 0, 53]);
    assert_eq!(
        exchange(&socket, &behind(&v2(0x21, 0x22, &v6))),
        "[2001:db8::77]:4661 to 127.0.0.1"
    );
    let own = format!("{} to 127.0.0.1", socket.local_addr().unwrap());
    assert_eq!(exchange(&socket, &query()), own);
}

#[test]
fn a_session_lasts_through_a_reload() {
    let server = server("udp_session_tracking 1m 100");
    let socket = socket(&server);
    socket.send(&v2_of(0x12)).unwrap();
    assert_eq!(exchange(&socket, &query()), "192.0.2.77:4660 to 127.0.0.1");
    let corefile = std::fs::read_to_string(server.path("Corefile")).unwrap();
    server.reload(&corefile.replace("1m", "2m")).unwrap();
    assert_eq!(exchange(&socket, &query()), "192.0.2.77:4660 to 127.0.0.1");
}

#[test]
fn without_the_plugin_a_header_is_no_query() {
    let server = TestServer::start([ENDS], ".:@PORT@ {\n ends\n}");
    let socket = socket(&server);
    // What stands in the header in place of flags says that it is no query, and it goes without an answer or gets one
    // that is an error; in no case the client is believed.
    socket.send(&behind(&v2_of(0x12))).unwrap();
    let own = format!("{} to 127.0.0.1", socket.local_addr().unwrap());
    socket.send(&query()).unwrap();
    let mut answer = [0; 512];
    loop {
        let length = socket.recv(&mut answer).expect("an answer");
        if length > query().len() {
            assert_eq!(text(&answer[..length]), own);
            break;
        }
    }
}

#[test]
fn malformed_headers_are_dropped_counted_and_told_once() {
    let server = server("");
    let socket = socket(&server);
    for _ in 0..10 {
        socket
            .send(&behind(b"PROXY TCP4 192.0.2.77 192.0.2.1 4660 53\r\n"))
            .unwrap();
    }
    let own = format!("{} to 127.0.0.1", socket.local_addr().unwrap());
    assert_eq!(exchange(&socket, &query()), own);
    assert_eq!(
        server.metrics().value("catena_proxyproto_dropped_total", &[]),
        Some(10.0)
    );
    let told = server
        .logs()
        .lines_with("dropping invalid Proxy Protocol packet from 127.0.0.1");
    assert!((1..=9).contains(&told.len()), "{told:?}");
}

#[test]
fn a_header_tells_the_ends_of_all_queries_of_a_connection() {
    let server = server("");
    for header in [
        v2_of(0x11),
        b"PROXY TCP4 192.0.2.77 192.0.2.1 4660 53\r\n".to_vec(),
    ] {
        let mut stream = connect(&server);
        stream
            .write_all(&[&header[..], &frame(), &frame()].concat())
            .unwrap();
        for _ in 0..2 {
            assert_eq!(receive(&mut stream), "192.0.2.77:4660 to 192.0.2.1");
        }
    }
    for header in [v2(0x20, 0, &[]), b"PROXY UNKNOWN\r\n".to_vec(), Vec::new()] {
        let mut stream = connect(&server);
        stream.write_all(&[&header[..], &frame()].concat()).unwrap();
        let own = format!("{} to 127.0.0.1", stream.local_addr().unwrap());
        assert_eq!(receive(&mut stream), own, "{header:?}");
    }
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let server = server("");
    let mut stream = connect(&server);
    stream.set_nodelay(true).unwrap();
    for byte in [v2_of(0x11), frame()].concat() {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(receive(&mut stream), "192.0.2.77:4660 to 192.0.2.1");
}

#[test]
fn connections_that_may_not_have_a_header_are_closed() {
    let server = server("allow 192.0.2.0/24\n default reject");
    let mut stream = connect(&server);
    stream.write_all(&[v2_of(0x11), frame()].concat()).unwrap();
    let mut rest = Vec::new();
    // The connection ends with what was sent unread, which may show as a reset.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, []);
    assert_eq!(
        server.metrics().value("catena_proxyproto_refused_total", &[]),
        Some(1.0)
    );
    let mut stream = connect(&server);
    stream.write_all(&frame()).unwrap();
    assert!(receive(&mut stream).starts_with("127.0.0.1:"));
}
