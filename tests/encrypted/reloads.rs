//! Reloads under load, and the stop, on every transport.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use catena::message::Rcode;
use catena_testkit::{Behaviour, Client, Over, Query, Upstream};

use crate::common::alone;
use crate::servers::{Served, block, client, forward_to, in_process};

/// Kept connections of each kind.
const CLIENTS: usize = 2;

/// The times are long, so that a machine with much else to do closes no connection.
fn hosts(number: u8) -> String {
    block(
        "example.org",
        &format!(
            "    timeouts {{\n        read 5m\n        write 5m\n        idle 5m\n    }}\n    errors\n    hosts {{\n        192.0.2.{number} www.example.org\n    }}"
        ),
    ) + &block(
        "slow.example",
        "    errors\n    erratic {\n        drop 0\n        delay 1 30ms\n    }",
    )
}

/// The last byte of the answer, which is that of an address.
fn number_of(client: &Client) -> u8 {
    let answer = client.ask("www.example.org. A");
    answer.assert_rcode(Rcode::NOERROR);
    *answer.wire().last().expect("an answer")
}

/// Asks in turn what is answered at once and what waits, until told to end; gives how often each address came.
fn ask_on(client: &Client, over: Over, end: &AtomicBool) -> BTreeMap<u8, usize> {
    let mut numbers = BTreeMap::new();
    while !end.load(Ordering::Relaxed) {
        *numbers.entry(number_of(client)).or_default() += 1;
        let slow = client.ask("www.slow.example. A");
        assert_eq!(slow.rcode(), Rcode::NOERROR, "{over:?}");
    }
    numbers
}

#[test]
fn reloads_under_load_lose_no_query_and_no_connection_of_any_transport() {
    const TIME: Duration = Duration::from_secs(12);
    const PERIOD: Duration = Duration::from_millis(200);
    let _alone = alone();
    let served = Served::new(&hosts(1));
    let clients: Vec<(Over, Client)> = Over::ALL
        .into_iter()
        .flat_map(|over| [over; CLIENTS])
        .map(|over| (over, served.client(over)))
        .collect();
    let end = AtomicBool::new(false);
    let (mut reloads, began) = (0, Instant::now());
    let tallies: Vec<(Over, BTreeMap<u8, usize>)> = std::thread::scope(|scope| {
        let asking: Vec<_> = clients
            .iter()
            .map(|(over, client)| (*over, scope.spawn(|| ask_on(client, *over, &end))))
            .collect();
        while began.elapsed() < TIME {
            let next = began + PERIOD * (reloads + 1);
            reloads += 1;
            served.catena.reload(&hosts(1 + (reloads % 2) as u8));
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        end.store(true, Ordering::Relaxed);
        asking
            .into_iter()
            .map(|(over, asking)| (over, asking.join().expect("no query is lost")))
            .collect()
    });
    for (over, numbers) in &tallies {
        println!("{}: {numbers:?}", over.word());
        assert_eq!(numbers.keys().copied().collect::<Vec<_>>(), [1, 2], "{over:?}");
    }
    println!("{reloads} reloads in {:?}", began.elapsed());
    assert!(reloads > 30, "{reloads} reloads");
    // Kept connections go on with the newest chain.
    served.catena.reload(&hosts(7));
    for (over, client) in &clients {
        assert_eq!(number_of(client), 7, "{over:?}");
    }
    drop(clients);
    assert_eq!(served.catena.stop(), 0);
}

#[test]
fn what_has_come_is_answered_before_the_server_ends_over_every_transport() {
    const EACH: usize = 5;
    let _alone = alone();
    let upstream = Upstream::start("www.example.org. 60 IN A 192.0.2.1");
    upstream.behave(Behaviour::honest().held());
    let server = in_process(&block(".", &forward_to(&upstream))).start();
    let clients = Over::ALL.map(|over| (over, client(&server, over)));
    let messages = |over: Over| -> Vec<Vec<u8>> {
        // Those that do one after the other have one under way.
        let count = match over {
            Over::Udp | Over::Tcp | Over::Tls | Over::Http1 | Over::Http1Get => 1,
            _ => EACH,
        };
        (0..count)
            .map(|number| Query::from(format!("{number}.{}.example.org. A +id=0", over.word())).to_wire())
            .collect()
    };
    let waiting: Vec<_> = clients
        .iter()
        .map(|(over, client)| {
            let (over, client, messages) = (*over, client.clone(), messages(*over));
            std::thread::spawn(move || (over, client.send_all(&messages)))
        })
        .collect();
    upstream.wait_for(Over::ALL.into_iter().map(|over| messages(over).len()).sum());
    let idle = client(&server, Over::Tcp);
    let stopping = std::thread::spawn(move || server.stop());
    // The stop has begun when connections without queries are closed.
    idle.assert_closed();
    upstream.release();
    for waiting in waiting {
        let (over, replies) = waiting.join().expect("a client");
        for reply in replies {
            let answer = reply.message().unwrap_or_else(|| panic!("{over:?}: {reply:?}"));
            assert_eq!(answer[3] & 0xf, 3, "{over:?}: NXDOMAIN of the upstream");
        }
    }
    let (status, log) = stopping.join().expect("the server");
    assert_eq!(status, 0, "{log:?}");
    for (over, client) in &clients {
        if *over != Over::Udp {
            client.assert_closed();
        }
    }
}
