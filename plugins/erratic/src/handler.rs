//! What happens to one query.
//!
//! Queries are numbered from 0. Those whose number is a multiple of the amount are dropped or delayed. Truncation counts
//! as CoreDNS does: the number must have none of the bits that the amount has, so that `truncate 1` hits every second
//! query, `truncate 2` two of four, and `truncate 5` one of four.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use catena_core::message::{CLASS_IN, Owner, Rcode, Request, Zone};
use catena_core::plugin::{Autopath, Next, Outcome, Plugin, PluginError, Readiness};
use hickory_proto::rr::RecordType;

use crate::config::Config;
use crate::zone;

const A_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
const AAAA_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

const TTL: u32 = 0;

/// Records in a large answer.
const LARGE: usize = 30;

/// Gives answers that go wrong.
#[derive(Debug)]
pub(crate) struct Erratic {
    config: Config,
    /// Queries so far.
    queries: AtomicU64,
}

impl Erratic {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            config,
            queries: AtomicU64::new(0),
        }
    }

    fn answer(&self, request: &mut Request, truncated: bool) -> Outcome {
        let mut reply = request.reply();
        reply.authoritative(true);
        match request.qtype() {
            RecordType::A => {
                let count = if self.config.large { LARGE } else { 1 };
                for _ in 0..count {
                    reply.answer(Owner::Question, RecordType::A, CLASS_IN, TTL, A_ADDRESS);
                }
                reply.truncated(truncated);
            }
            RecordType::AAAA => {
                reply.answer(Owner::Question, RecordType::AAAA, CLASS_IN, TTL, AAAA_ADDRESS);
                reply.truncated(truncated);
            }
            RecordType::AXFR if zone::write(&mut reply, request, truncated) => {}
            _ => return Outcome::Status(Rcode::SERVFAIL),
        }
        reply.finish().into()
    }
}

#[async_trait]
impl Plugin for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    async fn serve_dns(&self, request: &mut Request, _: Next<'_>) -> Result<Outcome, PluginError> {
        let config = &self.config;
        let number = self.queries.fetch_add(1, Ordering::Relaxed);
        if is_multiple(number, config.drop) {
            return Ok(Outcome::Drop);
        }
        if is_multiple(number, config.delay) {
            tokio::time::sleep(config.duration).await;
        }
        let truncated = config.truncate > 0 && number & config.truncate == 0;
        Ok(self.answer(request, truncated))
    }
}

fn is_multiple(number: u64, amount: u64) -> bool {
    amount > 0 && number.is_multiple_of(amount)
}

/// Ready while three or four queries have come, so that a client of readiness can see both changes.
impl Readiness for Erratic {
    fn name(&self) -> &'static str {
        "erratic"
    }

    fn ready(&self) -> bool {
        (3..5).contains(&self.queries.load(Ordering::Relaxed))
    }
}

impl Autopath for Erratic {
    fn search_path(&self, _: &Request) -> Option<Vec<Zone>> {
        Some(
            ["a.example.org.", "b.example.org."]
                .iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use catena_core::message::{QueryBuilder, Response, Transport, fit};
    use catena_core::plugin::testing::{TestBlock, set_up};
    use tokio::time::Instant;

    use super::*;

    fn block(options: &str) -> TestBlock {
        set_up(&[crate::PLUGIN], &format!("erratic {{\n{options}\n}}")).unwrap()
    }

    async fn ask(block: &TestBlock, record_type: RecordType) -> Outcome {
        let query = QueryBuilder::new("A.example.org.", record_type).unwrap();
        block
            .ask(&mut query.to_request_over(Transport::Tcp).unwrap())
            .await
            .unwrap()
    }

    fn answers(response: &Response) -> Vec<String> {
        response
            .message()
            .unwrap()
            .answers
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[tokio::test]
    async fn fixed_answers() {
        let block = block("drop 0");
        for (record_type, want) in [
            (RecordType::A, Some("A.example.org. 0 IN A 192.0.2.53")),
            (RecordType::AAAA, Some("A.example.org. 0 IN AAAA 2001:db8::53")),
            (RecordType::TXT, None),
            (RecordType::SOA, None),
            (RecordType::IXFR, None),
        ] {
            match ask(&block, record_type).await {
                Outcome::Reply(response) => {
                    assert!(response.aa() && !response.tc());
                    assert_eq!(
                        Some(answers(&response).join("\n").as_str()),
                        want,
                        "{record_type}"
                    );
                }
                Outcome::Status(rcode) => assert_eq!((rcode, want), (Rcode::SERVFAIL, None), "{record_type}"),
                other => panic!("{record_type}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn drops_one_of_so_many_whatever_the_type() {
        for (options, want) in [
            ("", [true, false, true, false, true, false]),
            ("drop 1", [true; 6]),
            ("drop 3", [true, false, false, true, false, false]),
            ("drop 0", [false; 6]),
            ("truncate 1", [false; 6]),
        ] {
            let block = block(options);
            for (number, want) in want.into_iter().enumerate() {
                let record_type =
                    [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::AXFR][number % 4];
                let dropped = matches!(ask(&block, record_type).await, Outcome::Drop);
                assert_eq!(dropped, want, "{options}: query {number}");
            }
        }
    }

    #[tokio::test]
    async fn truncates_as_coredns_counts() {
        for (options, want) in [
            ("truncate 1", [true, false, true, false, true, false, true, false]),
            ("truncate", [true, true, false, false, true, true, false, false]),
            (
                "truncate 5",
                [true, false, true, false, false, false, false, false],
            ),
        ] {
            let block = block(options);
            for (number, want) in want.into_iter().enumerate() {
                let record_type = [RecordType::A, RecordType::AAAA][number % 2];
                let Outcome::Reply(response) = ask(&block, record_type).await else {
                    panic!("{options}: no reply to query {number}");
                };
                assert_eq!(
                    (response.tc(), response.answer_count()),
                    (want, 1),
                    "{options}: query {number}"
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_one_of_so_many() {
        for (options, want) in [
            ("delay", [100, 0, 100, 0]),
            ("delay 3 50ms", [50, 0, 0, 50]),
            ("delay 1 2s", [2000; 4]),
            ("delay 0", [0; 4]),
        ] {
            let block = block(&format!("drop 0\n{options}"));
            for (number, want) in want.into_iter().enumerate() {
                let started = Instant::now();
                ask(&block, [RecordType::A, RecordType::TXT][number % 2]).await;
                assert_eq!(started.elapsed().as_millis(), want, "{options}: query {number}");
            }
        }
    }

    #[tokio::test]
    async fn a_transfer_gives_a_small_zone() {
        const SOA: &str =
            "A.example.org. 0 IN SOA sns.dns.icann.org. noc.dns.icann.org. 2018050825 7200 3600 1209600 3600";
        let zone = [
            SOA,
            "A.example.org. 0 IN NS b.A.example.org.",
            "A.example.org. 0 IN NS a.A.example.org.",
            "a.A.example.org. 0 IN AAAA 2001:bd8::53",
            "b.A.example.org. 0 IN AAAA 2001:500::54",
            SOA,
        ];
        for (options, records) in [("drop 0", 6), ("truncate 1", 5)] {
            let Outcome::Reply(response) = ask(&block(options), RecordType::AXFR).await else {
                panic!("{options}: no reply");
            };
            assert!(response.aa() && !response.tc());
            assert_eq!(answers(&response), zone[..records], "{options}");
        }
    }

    #[tokio::test]
    async fn a_zone_whose_name_leaves_no_room_is_not_transferred() {
        let label = "a".repeat(63);
        let name = format!("{label}.{label}.{label}.{}.", "a".repeat(61));
        let block = block("drop 0");
        let query = QueryBuilder::new(&name, RecordType::AXFR).unwrap();
        let outcome = block.ask(&mut query.to_request().unwrap()).await.unwrap();
        assert!(matches!(outcome, Outcome::Status(Rcode::SERVFAIL)), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_large_answer_fits_512_bytes_only_compressed() {
        let block = block("drop 0\nlarge");
        let query = QueryBuilder::new("a.example.org.", RecordType::A).unwrap();
        let mut request = query.to_request().unwrap();
        let response = block.reply(&mut request).await;
        assert_eq!(
            (response.answer_count(), response.uncompressed_len()),
            (30, 12 + 19 + 30 * 29)
        );
        let fitted = Response::from_wire(fit(response, &request)).unwrap();
        assert_eq!(
            (fitted.tc(), fitted.answer_count(), fitted.wire().len()),
            (false, 30, 511)
        );
    }

    #[tokio::test]
    async fn ready_after_three_queries_until_the_fifth() {
        let block = block("drop 0");
        let readiness = block.services.first::<dyn Readiness>().unwrap();
        assert_eq!(readiness.name(), "erratic");
        for want in [false, false, false, true, true, false, false] {
            assert_eq!(readiness.ready(), want);
            ask(&block, RecordType::A).await;
        }
    }

    #[test]
    fn offers_a_search_path() {
        let block = block("");
        let request = QueryBuilder::new("a.example.org.", RecordType::A)
            .unwrap()
            .to_request()
            .unwrap();
        let path = block
            .services
            .first::<dyn Autopath>()
            .unwrap()
            .search_path(&request)
            .unwrap();
        assert_eq!(
            path.iter().map(Zone::as_str).collect::<Vec<_>>(),
            ["a.example.org.", "b.example.org."]
        );
    }
}
