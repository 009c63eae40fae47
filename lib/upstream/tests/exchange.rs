//! Exchanges with upstreams that behave, and with some that do not, over real sockets on loopback.

mod play;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catena_upstream::{Event, ExchangeError, Group, Options, Protocol, Target};
use play::{Upstream, answer, query, with_id};
use tokio::time::Instant;

fn group(upstreams: &[&Upstream], options: Options) -> Group {
    let targets = upstreams
        .iter()
        .map(|upstream| Target::new(upstream.address))
        .collect();
    Group::new(targets, options, 1, ())
}

/// Options whose timeout never comes to pass: what ends before it ended for another reason.
fn patient() -> Options {
    Options {
        read_timeout: PATIENCE,
        ..Options::default()
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn ask(group: &Group, name: &str, protocol: Protocol) -> Result<Vec<u8>, ExchangeError> {
    group
        .exchange(0, &query(name), protocol)
        .answer()
        .await
        .map(|answer| answer.response.into_wire())
}

#[tokio::test]
async fn many_queries_on_few_sockets_get_their_own_answers_in_any_order() {
    let upstream = Upstream::udp_reversing(8).await;
    let group = Arc::new(group(&[&upstream], Options::default()));
    let tasks: Vec<_> = (0..64)
        .map(|number| {
            let group = Arc::clone(&group);
            tokio::spawn(async move {
                (
                    number,
                    ask(&group, &format!("n{number}.example"), Protocol::Udp).await,
                )
            })
        })
        .collect();
    for task in tasks {
        let (number, wire) = task.await.unwrap();
        let wire = wire.unwrap();
        assert_eq!(with_id(&wire, 0), answer(&query(&format!("n{number}.example"))));
    }
    assert_eq!(upstream.count(), 64);
}

#[tokio::test]
async fn ids_and_ports_are_random() {
    let mut upstream = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(
        &[&upstream],
        Options {
            expire: Duration::from_secs(60),
            ..Options::default()
        },
    );
    const QUERIES: usize = 20_000;
    for _ in 0..QUERIES {
        ask(&group, "example", Protocol::Udp).await.unwrap();
    }
    let seen = upstream.take_seen();
    let ports: HashSet<u16> = seen.iter().map(|(from, _)| from.port()).collect();
    // At least eight at a time, each for 2047 queries at most.
    assert!(ports.len() >= 14, "{} ports", ports.len());
    let ids: Vec<u16> = seen
        .iter()
        .map(|(_, message)| u16::from_be_bytes([message[0], message[1]]))
        .collect();
    let distinct: HashSet<u16> = ids.iter().copied().collect();
    // 65536 * (1 - exp(-20000 / 65536)) = 17238 are expected of a random sequence.
    assert!(
        (16_900..17_600).contains(&distinct.len()),
        "{} ids",
        distinct.len()
    );
    let rising = ids.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(
        (QUERIES / 2 - 500..QUERIES / 2 + 500).contains(&rising),
        "{rising} rising ids"
    );
    let same_port = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0).count();
    assert!(
        (QUERIES / 8 - 500..QUERIES / 8 + 500).contains(&same_port),
        "{same_port} on the port before"
    );
}

#[tokio::test]
async fn forged_and_malformed_datagrams_before_the_answer_change_nothing() {
    let upstream = Upstream::udp_delayed(Duration::from_millis(50), |message| {
        let right = answer(message);
        let mut other_letters = right.clone();
        other_letters[13] ^= 0x20;
        let mut other_type = right.clone();
        let type_at = message.len() - 3;
        other_type[type_at] = 28;
        let mut cut = right.clone();
        cut.pop();
        let mut not_a_response = right.clone();
        not_a_response[2] &= 0x7f;
        let bare = vec![message[0], message[1], 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        let other_id = with_id(&right, u16::from_be_bytes([message[0], message[1]]) ^ 1);
        let first = vec![
            Vec::new(),
            vec![message[0]],
            message[..12].to_vec(),
            b"garbage of some length".to_vec(),
            other_id,
            other_letters,
            other_type,
            cut,
            not_a_response,
            bare,
        ];
        (first, vec![right])
    })
    .await;
    let group = group(&[&upstream], Options::default());
    let begun = Instant::now();
    let wire = ask(&group, "example", Protocol::Udp).await.unwrap();
    assert_eq!(with_id(&wire, 0), answer(&query("example")));
    assert!(begun.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn an_error_without_a_question_counts_when_nothing_better_comes() {
    let upstream =
        Upstream::udp(|message| vec![vec![message[0], message[1], 0x80, 4, 0, 0, 0, 0, 0, 0, 0, 0]]).await;
    let group = group(&[&upstream], patient());
    let begun = Instant::now();
    let wire = ask(&group, "example", Protocol::Udp).await.unwrap();
    assert_eq!(wire[3], 4);
    assert!(begun.elapsed() < PATIENCE / 2, "long before the timeout");
}

#[tokio::test]
async fn a_socket_that_is_being_guessed_at_is_left_for_tcp() {
    // Over UDP only guesses arrive; the true answer is to be had over TCP.
    let upstream = Upstream::both(
        |message| {
            (0..200u16)
                .map(|guess| with_id(&answer(message), guess.wrapping_mul(331)))
                .collect()
        },
        |message| vec![answer(message)],
    )
    .await;
    let group = group(&[&upstream], patient());
    let answer = group
        .exchange(0, &query("example"), Protocol::Udp)
        .answer()
        .await
        .unwrap();
    // One guess in 300 runs of this test may be right.
    assert!(answer.elapsed < PATIENCE / 2);
}

#[tokio::test]
async fn a_thousand_equal_questions_at_once_put_few_on_the_wire() {
    let upstream = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    // None is answered before all are asked: the upstream has no turn before the first `await`.
    let exchanges: Vec<_> = (0..1000)
        .map(|_| group.exchange(0, &query("example"), Protocol::Udp))
        .collect();
    for mut exchange in exchanges {
        let wire = exchange.answer().await.unwrap().response.into_wire();
        assert_eq!(with_id(&wire, 0), answer(&query("example")));
    }
    assert_eq!(upstream.count(), 40);
}

#[tokio::test]
async fn variants_of_one_question_beyond_the_limit_go_over_tcp() {
    let (udp, tcp) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (by_udp, by_tcp) = (Arc::clone(&udp), Arc::clone(&tcp));
    let upstream = Upstream::both(
        move |_| {
            by_udp.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        },
        move |message| {
            by_tcp.fetch_add(1, Ordering::Relaxed);
            vec![answer(message)]
        },
    )
    .await;
    let group = group(&[&upstream], Options::default());
    let mut exchanges = Vec::new();
    for variant in 0..60u8 {
        let mut message = query("example");
        message[11] = 1;
        message.extend_from_slice(&[0, 0, 41, 4, variant, 0, 0, 0, 0, 0, 0]);
        exchanges.push(group.exchange(0, &message, Protocol::Udp));
    }
    for exchange in &mut exchanges[40..] {
        exchange.answer().await.unwrap();
    }
    assert_eq!(
        (udp.load(Ordering::Relaxed), tcp.load(Ordering::Relaxed)),
        (40, 20)
    );
}

#[tokio::test]
async fn a_closed_port_is_told_at_once() {
    let gone = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let group = Group::new(vec![Target::new(gone)], patient(), 1, ());
    for _ in 0..20 {
        let begun = Instant::now();
        let error = ask(&group, "example", Protocol::Udp)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with(&format!("->{gone}: read: connection refused")),
            "{error}"
        );
        assert!(begun.elapsed() < PATIENCE / 2);
    }
    let error = ask(&group, "example", Protocol::Tcp)
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(error, format!("dial tcp {gone}: connect: connection refused"));
}

#[tokio::test]
async fn a_late_answer_disturbs_nobody() {
    // Each query is answered when the next one comes.
    let mut kept = None;
    let upstream = Upstream::udp(move |message| kept.replace(answer(message)).into_iter().collect()).await;
    let options = Options {
        read_timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let group = group(&[&upstream], options);
    for _ in 0..4 {
        let error = ask(&group, "late.example", Protocol::Udp).await.unwrap_err();
        assert!(error.to_string().ends_with(": i/o timeout"), "{error}");
    }
    assert_eq!(upstream.count(), 4);
}

#[tokio::test]
async fn answers_cut_off_by_the_upstream_become_truncated_ones() {
    let upstream = Upstream::udp(|message| {
        let mut cut = answer(message);
        cut[2] |= 2;
        cut.pop();
        vec![cut]
    })
    .await;
    let group = group(&[&upstream], Options::default());
    let wire = ask(&group, "example", Protocol::Udp).await.unwrap();
    assert_eq!(wire[2] & 2, 2);
    assert_eq!((wire.len(), &wire[6..12]), (query("example").len(), &[0; 6][..]));
}

#[tokio::test]
async fn tcp_queries_share_a_connection_and_answers_may_overtake() {
    let mut kept = Vec::new();
    let upstream = Upstream::tcp(move |message| {
        kept.push(answer(message));
        if kept.len() < 4 {
            Vec::new()
        } else {
            kept.drain(..).rev().collect()
        }
    })
    .await;
    let group = group(&[&upstream], Options::default());
    for _ in 0..3 {
        let names = ["a.example", "b.example", "c.example", "d.example"];
        let mut exchanges: Vec<_> = names
            .iter()
            .map(|name| group.exchange(0, &query(name), Protocol::Tcp))
            .collect();
        for (name, exchange) in names.iter().zip(&mut exchanges) {
            assert_eq!(
                with_id(exchange.answer().await.unwrap().response.wire(), 0),
                answer(&query(name))
            );
        }
    }
    assert_eq!((upstream.connections(), upstream.count()), (1, 12));
}

#[tokio::test]
async fn a_query_lost_on_a_kept_connection_is_asked_again() {
    let upstream = Upstream::tcp_closing_after(2, |message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    for _ in 0..7 {
        ask(&group, "example", Protocol::Tcp).await.unwrap();
    }
    assert!(upstream.connections() >= 4);
}

#[tokio::test]
async fn an_upstream_that_closes_at_once_is_an_error() {
    let upstream = Upstream::tcp_closing_after(0, |message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    let error = ask(&group, "example", Protocol::Tcp)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error == "EOF" || error.ends_with("read: connection reset by peer"),
        "{error}"
    );
}

#[tokio::test]
async fn idle_connections_are_closed_after_expire() {
    let upstream = Upstream::tcp(|message| vec![answer(message)]).await;
    let options = Options {
        expire: Duration::from_secs(1),
        ..Options::default()
    };
    let group = group(&[&upstream], options);
    for _ in 0..3 {
        ask(&group, "example", Protocol::Tcp).await.unwrap();
    }
    assert_eq!(upstream.connections(), 1);
    upstream.closed(1).await;
    ask(&group, "example", Protocol::Tcp).await.unwrap();
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_group_that_goes_closes_everything() {
    let upstream = Upstream::tcp(|message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    ask(&group, "example", Protocol::Tcp).await.unwrap();
    drop(group);
    upstream.closed(1).await;
}

#[tokio::test]
async fn a_query_that_is_given_up_leaves_room_for_others() {
    let upstream = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    for _ in 0..100 {
        drop(group.exchange(0, &query("example"), Protocol::Udp));
    }
    ask(&group, "example", Protocol::Udp).await.unwrap();
}

#[tokio::test]
async fn messages_that_are_no_query_are_refused() {
    let upstream = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(&[&upstream], Options::default());
    let whole = query("example");
    for len in 0..whole.len() {
        let error = group
            .exchange(0, &whole[..len], Protocol::Udp)
            .answer()
            .await
            .unwrap_err();
        assert_eq!(error, ExchangeError::Malformed);
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn an_upstream_that_falls_silent_while_another_answers_is_noticed() {
    let silent = Upstream::udp(|_| Vec::new()).await;
    let other = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(&[&silent, &other], patient());
    let begun = Instant::now();
    let mut waiting: Vec<_> = (0..5)
        .map(|_| group.exchange(0, &query("example"), Protocol::Udp))
        .collect();
    group
        .exchange(1, &query("example"), Protocol::Udp)
        .answer()
        .await
        .unwrap();
    for exchange in &mut waiting {
        assert!(matches!(exchange.event().await, Event::Silence));
    }
    assert!(begun.elapsed() < PATIENCE / 2);
    assert!(group.is_silent(0) && !group.admits(0));
    assert!(!group.is_silent(1) && group.admits(1));
}

#[tokio::test]
async fn nobody_is_silent_when_nobody_answers() {
    let one = Upstream::udp(|_| Vec::new()).await;
    let other = Upstream::udp(|_| Vec::new()).await;
    let group = group(
        &[&one, &other],
        Options {
            read_timeout: Duration::from_secs(1),
            ..Options::default()
        },
    );
    let mut waiting: Vec<_> = (0..5)
        .map(|_| group.exchange(0, &query("example"), Protocol::Udp))
        .collect();
    for exchange in &mut waiting {
        assert!(matches!(
            exchange.event().await,
            Event::Failed(ExchangeError::Timeout(_))
        ));
    }
    assert!(!group.is_silent(0));
}

#[tokio::test]
async fn one_lost_datagram_is_no_silence() {
    let mut seen = 0;
    let lossy = Upstream::udp(move |message| {
        seen += 1;
        if seen == 1 {
            Vec::new()
        } else {
            vec![answer(message)]
        }
    })
    .await;
    let other = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(
        &[&lossy, &other],
        Options {
            read_timeout: Duration::from_secs(1),
            ..Options::default()
        },
    );
    let mut lost = group.exchange(0, &query("example"), Protocol::Udp);
    ask(&group, "example", Protocol::Udp).await.unwrap();
    group
        .exchange(1, &query("example"), Protocol::Udp)
        .answer()
        .await
        .unwrap();
    assert!(matches!(
        lost.event().await,
        Event::Failed(ExchangeError::Timeout(_))
    ));
    assert!(!group.is_silent(0));
}

#[tokio::test]
async fn silence_is_noticed_behind_a_lost_datagram() {
    let mut seen = 0;
    // Loses the first query, answers the second, and falls silent.
    let lossy = Upstream::udp(move |message| {
        seen += 1;
        if seen == 2 {
            vec![answer(message)]
        } else {
            Vec::new()
        }
    })
    .await;
    let other = Upstream::udp(|message| vec![answer(message)]).await;
    let group = group(&[&lossy, &other], patient());
    let _lost = group.exchange(0, &query("example"), Protocol::Udp);
    ask(&group, "example", Protocol::Udp).await.unwrap();
    let begun = Instant::now();
    let mut waiting: Vec<_> = (0..5)
        .map(|_| group.exchange(0, &query("example"), Protocol::Udp))
        .collect();
    group
        .exchange(1, &query("example"), Protocol::Udp)
        .answer()
        .await
        .unwrap();
    assert!(matches!(waiting[4].event().await, Event::Silence));
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[tokio::test]
async fn a_silent_upstream_gets_one_query_after_its_probe_and_then_all() {
    let dead = Arc::new(AtomicUsize::new(1));
    let switch = Arc::clone(&dead);
    let upstream = Upstream::udp(move |message| {
        if switch.load(Ordering::Relaxed) == 1 {
            Vec::new()
        } else {
            vec![answer(message)]
        }
    })
    .await;
    let other = Upstream::udp(|message| vec![answer(message)]).await;
    let mut options = Options::default();
    options.probe.interval = Duration::from_millis(20);
    let group = group(&[&upstream, &other], options);
    let mut waiting: Vec<_> = (0..5)
        .map(|_| group.exchange(0, &query("example"), Protocol::Udp))
        .collect();
    group
        .exchange(1, &query("example"), Protocol::Udp)
        .answer()
        .await
        .unwrap();
    assert!(matches!(waiting[0].event().await, Event::Silence));
    dead.store(0, Ordering::Relaxed);
    let deadline = Instant::now() + PATIENCE;
    while !group.admits(0) {
        assert!(Instant::now() < deadline, "the probe was answered long ago");
        tokio::task::yield_now().await;
    }
    assert!(!group.admits(0), "one at a time");
    ask(&group, "example", Protocol::Udp).await.unwrap();
    assert!(group.admits(0) && group.admits(0));
}
