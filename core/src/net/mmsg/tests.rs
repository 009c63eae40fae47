use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::net::sockets;

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// A listening socket that waits for what a test sends.
fn server(address: &str) -> UdpSocket {
    let socket = sockets::udp(address.parse().unwrap()).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn ipv6_works() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

/// Receives until `count` datagrams are there; loopback may deliver them in several batches.
fn echo(socket: &UdpSocket, received: &mut RecvBatch, answers: &mut SendBatch, count: usize) {
    let mut seen = 0;
    while seen < count {
        seen += received.recv_wait(socket).unwrap();
        for datagram in received.iter() {
            assert!(answers.push(datagram.bytes, datagram.source.unwrap(), datagram.local));
        }
        answers.send(socket).unwrap();
        assert!(answers.is_empty());
    }
}

#[test]
fn both_batches_may_move_to_another_thread() {
    fn needs_send<T: Send>() {}
    needs_send::<RecvBatch>();
    needs_send::<SendBatch>();
}

#[test]
fn nothing_there_would_block() {
    let socket = client("127.0.0.1:0");
    let mut batch = RecvBatch::new(4);
    assert_eq!(batch.recv(&socket).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(batch.is_empty());
    assert!(batch.get(0).is_none());
}

#[test]
fn a_batch_keeps_order_bytes_and_sources() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        if address.starts_with('[') && !ipv6_works() {
            continue;
        }
        let socket = server(address);
        let to = socket.local_addr().unwrap();
        let (first, second) = (client(address), client(address));
        first.send_to(b"one", to).unwrap();
        second.send_to(b"", to).unwrap();
        first.send_to(&[7; 3000], to).unwrap();

        let mut batch = RecvBatch::new(8);
        assert_eq!(batch.recv(&socket).unwrap(), 3);
        let got: Vec<_> = batch
            .iter()
            .map(|d| (d.bytes.to_vec(), d.source.unwrap(), d.truncated))
            .collect();
        let (a, b) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let want = [
            (b"one".to_vec(), a, false),
            (vec![], b, false),
            (vec![7; 3000], a, false),
        ];
        assert_eq!(got, want, "on {address}");
        assert!(batch.iter().all(|datagram| datagram.local.is_none()));
    }
}

#[test]
fn more_than_a_batch_comes_in_several() {
    let socket = server("127.0.0.1:0");
    let to = socket.local_addr().unwrap();
    let sender = client("127.0.0.1:0");
    let mut batch = RecvBatch::new(4);
    // Twice, so that slots are used again after the kernel has overwritten their headers.
    for round in 0..2_u8 {
        for number in 0..10 {
            sender.send_to(&[round, number], to).unwrap();
        }
        let mut got = Vec::new();
        for want in [4, 4, 2] {
            assert_eq!(batch.recv(&socket).unwrap(), want);
            got.extend(batch.iter().map(|datagram| {
                assert_eq!(datagram.source, Some(sender.local_addr().unwrap()));
                assert_eq!(datagram.bytes[0], round);
                datagram.bytes[1]
            }));
        }
        assert_eq!(got, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_datagram_beyond_the_slot_is_marked_truncated() {
    let socket = server("127.0.0.1:0");
    let sender = client("127.0.0.1:0");
    let mut batch = RecvBatch::with_slot_size(2, 100);
    sender.send_to(&[1; 100], socket.local_addr().unwrap()).unwrap();
    sender.send_to(&[2; 101], socket.local_addr().unwrap()).unwrap();
    assert_eq!(batch.recv(&socket).unwrap(), 2);
    let got: Vec<_> = batch.iter().map(|d| (d.bytes.len(), d.truncated)).collect();
    assert_eq!(got, [(100, false), (100, true)]);
}

#[test]
fn the_largest_datagram_fits() {
    let socket = server("127.0.0.1:0");
    let sender = client("127.0.0.1:0");
    let largest = vec![9; 65_507];
    sender.send_to(&largest, socket.local_addr().unwrap()).unwrap();
    let mut batch = RecvBatch::new(1);
    assert_eq!(batch.recv(&socket).unwrap(), 1);
    let datagram = batch.get(0).unwrap();
    assert!(datagram.bytes == largest && !datagram.truncated);
}

#[test]
fn wildcard_sockets_answer_from_the_asked_address() {
    let mut cases: Vec<(&str, IpAddr)> = vec![
        ("0.0.0.0:0", Ipv4Addr::LOCALHOST.into()),
        ("0.0.0.0:0", Ipv4Addr::new(127, 9, 8, 7).into()),
        ("[::]:0", Ipv4Addr::LOCALHOST.into()),
        ("[::]:0", Ipv4Addr::new(127, 9, 8, 7).into()),
    ];
    if ipv6_works() {
        cases.push(("[::]:0", Ipv6Addr::LOCALHOST.into()));
    }
    for (bind, asked) in cases {
        let socket = server(bind);
        let bound = socket.local_addr().unwrap();
        let asker = client(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        // Connected: an answer from another address would not arrive.
        asker.connect((asked, bound.port())).unwrap();
        asker.send(b"who").unwrap();

        let mut received = RecvBatch::new(4);
        let mut answers = SendBatch::new(4, Family::of(&bound));
        assert_eq!(received.recv_wait(&socket).unwrap(), 1);
        let datagram = received.get(0).unwrap();
        assert_eq!(datagram.local, Some(asked), "{bind} asked at {asked}");
        assert_eq!(
            datagram.source,
            Some(asker.local_addr().unwrap()),
            "{bind} asked at {asked}"
        );
        assert!(answers.push(b"me", datagram.source.unwrap(), datagram.local));
        assert_eq!(answers.send(&socket).unwrap(), 1);
        let mut buffer = [0; 16];
        assert_eq!(asker.recv(&mut buffer).unwrap(), 2, "{bind} asked at {asked}");
    }
}

#[test]
fn a_full_batch_refuses_and_gives_the_bytes_back() {
    let mut batch = SendBatch::new(2, Family::V4);
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    assert!(batch.push(b"a", to, None));
    assert_eq!(batch.push_owned(b"b".to_vec(), to, None).unwrap(), b"");
    assert!(batch.is_full());
    assert!(!batch.push(b"c", to, None));
    assert!(!batch.push_connected(b"c"));
    assert_eq!(batch.push_owned(b"c".to_vec(), to, None).unwrap_err(), b"c");
    batch.clear();
    // The buffer of the first datagram comes back, emptied, with its memory.
    let reused = batch.push_owned(b"d".to_vec(), to, None).unwrap();
    assert!(reused.is_empty() && reused.capacity() > 0);
}

#[test]
fn answers_of_many_batches_all_arrive() {
    let socket = server("127.0.0.1:0");
    let to = socket.local_addr().unwrap();
    let asker = client("127.0.0.1:0");
    let (mut received, mut answers) = (RecvBatch::new(16), SendBatch::new(16, Family::V4));
    for number in 0..100_u8 {
        asker.send_to(&[number], to).unwrap();
    }
    echo(&socket, &mut received, &mut answers, 100);
    let mut buffer = [0; 16];
    for number in 0..100 {
        assert_eq!(asker.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], number);
    }
}

#[test]
fn a_bad_destination_does_not_cost_the_others() {
    let socket = server("127.0.0.1:0");
    let good = client("127.0.0.1:0");
    let to = good.local_addr().unwrap();
    let mut batch = SendBatch::new(8, Family::V4);
    assert!(batch.push(b"1", to, None));
    assert!(batch.push(b"x", "[2001:db8::1]:53".parse().unwrap(), None));
    assert!(batch.push(b"2", to, None));
    assert!(batch.push(&[0; 65_530], to, None));
    assert!(batch.push(b"x", to, Some(Ipv4Addr::new(192, 0, 2, 77).into())));
    assert!(batch.push(b"3", to, None));
    assert_eq!(batch.send(&socket).unwrap(), 3);
    let (failed, error) = batch.take_failures();
    assert_eq!(failed, 3);
    assert!(error.is_some());
    let mut buffer = [0; 16];
    for want in [b"1", b"2", b"3"] {
        assert_eq!(good.recv(&mut buffer).unwrap(), 1);
        assert_eq!(&buffer[..1], want);
    }
}

#[test]
fn a_full_socket_keeps_the_rest_for_later() {
    // A pair of Unix datagram sockets has a queue that really fills up.
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut batch = SendBatch::connected(64);
    let mut total = 0;
    let (mut pushed, mut blocked) = (0, false);
    while !blocked {
        while batch.push_connected(&[pushed as u8; 2000]) {
            pushed += 1;
        }
        match batch.send(&ours) {
            Ok(sent) => {
                total += sent;
                blocked = !batch.is_empty();
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                blocked = true;
            }
        }
    }
    assert_eq!(total + batch.len(), pushed);
    let mut received = RecvBatch::new(16);
    let mut next = 0;
    while next < pushed {
        if !batch.is_empty() {
            match batch.send(&ours) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        received.recv(&theirs).unwrap();
        for datagram in received.iter() {
            assert_eq!(datagram.bytes, [next as u8; 2000]);
            assert_eq!(datagram.source, None);
            next += 1;
        }
    }
    assert_eq!(batch.take_failures().0, 0);
}

#[test]
fn a_refused_datagram_does_not_cost_the_next_one() {
    let peer = client("127.0.0.1:0");
    let address = peer.local_addr().unwrap();
    let ours = client("127.0.0.1:0");
    ours.connect(address).unwrap();
    drop(peer);
    let mut batch = SendBatch::connected(4);
    assert!(batch.push_connected(b"lost"));
    assert_eq!(batch.send(&ours).unwrap(), 1);
    // The refusal now waits on our socket, and somebody listens again.
    let peer = client(&address.to_string());
    assert!(batch.push_connected(b"kept"));
    assert_eq!(batch.send(&ours).unwrap(), 1);
    let (failed, error) = batch.take_failures();
    assert_eq!(failed, 0);
    assert_eq!(error.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    let mut buffer = [0; 16];
    assert_eq!(peer.recv(&mut buffer).unwrap(), 4);
    assert_eq!(&buffer[..4], b"kept");
}

#[test]
fn datagrams_lost_to_a_full_buffer_are_counted_once() {
    let socket = server("127.0.0.1:0");
    socket2::SockRef::from(&socket).set_recv_buffer_size(1).unwrap();
    let to = socket.local_addr().unwrap();
    let sender = client("127.0.0.1:0");
    for _ in 0..500 {
        sender.send_to(&[0; 500], to).unwrap();
    }
    let mut batch = RecvBatch::new(64);
    let mut taken = 0;
    while let Ok(count) = batch.recv(&socket) {
        taken += count;
        assert_eq!(batch.overflows(), 0, "those came before the loss");
    }
    assert!(taken < 500);
    sender.send_to(b"later", to).unwrap();
    assert_eq!(batch.recv_wait(&socket).unwrap(), 1);
    assert_eq!(batch.overflows() as usize, 500 - taken);
    assert_eq!(batch.overflows(), 0);
}
