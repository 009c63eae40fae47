//! What happens to one answer.

use std::sync::Arc;

use async_trait::async_trait;
use catena_core::message::{Rcode, Request, Response, Section};
use catena_core::plugin::{Next, Outcome, Plugin, PluginError};
use catena_upstream::random;
use ipnet::IpNet;

use crate::order;
use crate::store::Store;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

/// Changes the order of addresses in what comes back.
#[derive(Debug)]
pub(crate) struct LoadBalance {
    weights: Option<Arc<Store>>,
    prefer: Vec<IpNet>,
}

impl LoadBalance {
    pub(crate) fn new(weights: Option<Arc<Store>>, prefer: Vec<IpNet>) -> Self {
        Self { weights, prefer }
    }

    fn arrange(&self, response: &mut Response) {
        let several = |count: u16| count > 1;
        if response.rcode() != Rcode::NOERROR
            || ![
                response.answer_count(),
                response.authority_count(),
                response.additional_count(),
            ]
            .into_iter()
            .any(several)
        {
            return;
        }
        // Without random numbers, which the system never lacks, records keep their order.
        let mut random = |bound: usize| random::below(bound).unwrap_or(0);
        let qtype = match response.question() {
            [.., high, low, _, _] => u16::from_be_bytes([*high, *low]),
            _ => return,
        };
        match (&self.weights, qtype) {
            (_, AXFR | IXFR) => {}
            (None, _) => response.reorder(|section, records| {
                order::shuffle(records, &mut random);
                if !self.prefer.is_empty() && section != Section::Authority {
                    order::prefer(records, &self.prefer);
                }
            }),
            (Some(store), A | AAAA | SRV) => {
                let weights = store.weights();
                response.reorder(|section, records| {
                    if section != Section::Authority {
                        order::weigh(records, &weights, &mut random);
                    }
                });
            }
            (Some(_), _) => {}
        }
    }
}

#[async_trait]
impl Plugin for LoadBalance {
    fn name(&self) -> &'static str {
        "loadbalance"
    }

    async fn serve_dns(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, PluginError> {
        let mut outcome = next.run(request).await?;
        if let Outcome::Reply(response) = &mut outcome {
            self.arrange(response);
        }
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use catena_core::message::{CLASS_IN, Owner, QueryBuilder, RdataWriter};
    use catena_core::plugin::testing::{TestBlock, set_up};
    use catena_core::plugin::{AtOnce, Definition};
    use hickory_proto::rr::RecordType;

    use super::*;

    /// What the plugin behind answers: in words, one a record, behind `|` the next section.
    struct Words(&'static str, Rcode);

    impl Plugin for Words {
        fn name(&self) -> &'static str {
            "words"
        }

        fn serve_at_once(&self, request: &mut Request) -> AtOnce {
            let mut reply = request.reply();
            reply.rcode(self.1);
            let sections = [Section::Answer, Section::Authority, Section::Additional];
            for (section, words) in sections.into_iter().zip(self.0.split('|')) {
                for word in words.split_whitespace() {
                    let last = word.bytes().last().unwrap_or_default() - b'0';
                    let (code, owner) = match &word[..word.len() - 1] {
                        "a" => (1, Owner::Question),
                        "A" => (1, Owner::Name(b"\x01b\0")),
                        "q" => (28, Owner::Question),
                        "c" => (5, Owner::Question),
                        "m" => (15, Owner::Question),
                        "t" => (16, Owner::Question),
                        other => panic!("{other}"),
                    };
                    let data = move |rdata: &mut RdataWriter<'_>| match code {
                        1 => rdata.bytes(&Ipv4Addr::new(192, 0, 2, last).octets()),
                        28 => rdata.bytes(&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).octets()),
                        5 => rdata.name(&[1, b'0' + last, 0]),
                        15 => {
                            rdata.u16(last.into());
                            rdata.name(b"\x02mx\0");
                        }
                        _ => rdata.character_string(&[b'0' + last]),
                    };
                    reply.record(section, owner, code, CLASS_IN, 60, data);
                }
            }
            AtOnce::Answer(reply.finish().into())
        }
    }

    macro_rules! behind {
        ($words:literal) => {
            behind!($words, Rcode::NOERROR)
        };
        ($words:literal, $rcode:expr) => {
            Definition::new("words", |setup| {
                setup.add(Words($words, $rcode));
                Ok(())
            })
        };
    }

    fn words(response: &Response) -> String {
        let mut text = String::new();
        let mut section = Section::Answer;
        for record in response.records() {
            while section != record.section() {
                section = if section == Section::Answer {
                    Section::Authority
                } else {
                    Section::Additional
                };
                text.push('|');
            }
            let data = record.rdata();
            let (kind, last) = match record.type_code() {
                1 if record.owner().as_wire() == b"\x01b\0" => ('A', data[3] + b'0'),
                1 => ('a', data[3] + b'0'),
                28 => ('q', data[15] + b'0'),
                5 => ('c', data[1]),
                15 => ('m', data[1] + b'0'),
                _ => ('t', data[1]),
            };
            text.extend([kind, char::from(last), ' ']);
        }
        text.trim_end().replace(" |", "|")
    }

    async fn ask(block: &TestBlock, qtype: RecordType) -> String {
        let query = QueryBuilder::new("www.example.org.", qtype).unwrap();
        words(&block.reply(&mut query.to_request().unwrap()).await)
    }

    /// How often each answer came.
    async fn census(block: &TestBlock, qtype: RecordType, times: u32) -> BTreeMap<String, u32> {
        let mut seen = BTreeMap::new();
        for _ in 0..times {
            *seen.entry(ask(block, qtype).await).or_default() += 1;
        }
        seen
    }

    #[tokio::test]
    async fn all_orders_are_about_equally_likely() {
        let block = set_up(&[crate::PLUGIN, behind!("a1 a2 a3")], "loadbalance\nwords").unwrap();
        let seen = census(&block, RecordType::A, 6000).await;
        assert_eq!(seen.len(), 6);
        // A thousand are expected of each; ten standard deviations are 289.
        assert!(
            seen.values().all(|&times| (711..=1289).contains(&times)),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn kinds_have_their_places_and_only_addresses_and_exchangers_mix() {
        let block = set_up(
            &[crate::PLUGIN, behind!("m1 a1 t1 q2 c1 t2 c2 m2|t3 t4|A1 t5 A2")],
            "loadbalance\nwords",
        )
        .unwrap();
        let seen: Vec<String> = census(&block, RecordType::MX, 400).await.into_keys().collect();
        let mut want = Vec::new();
        for addresses in ["a1 q2", "q2 a1"] {
            for exchangers in ["m1 m2", "m2 m1"] {
                for additional in ["t5 A1 A2", "t5 A2 A1"] {
                    want.push(format!("c1 c2 t1 t2 {addresses} {exchangers}|t3 t4|{additional}"));
                }
            }
        }
        want.sort();
        assert_eq!(seen, want);
    }

    #[tokio::test]
    async fn errors_and_transfers_keep_their_order() {
        let shuffled = "loadbalance\nwords";
        let block = set_up(
            &[crate::PLUGIN, behind!("t1 c1 a2 a1", Rcode::NXDOMAIN)],
            shuffled,
        )
        .unwrap();
        assert_eq!(
            census(&block, RecordType::A, 20)
                .await
                .into_keys()
                .collect::<Vec<_>>(),
            ["t1 c1 a2 a1"]
        );
        let block = set_up(&[crate::PLUGIN, behind!("t1 c1 a2 a1")], shuffled).unwrap();
        for qtype in [RecordType::AXFR, RecordType::IXFR] {
            assert_eq!(
                census(&block, qtype, 20).await.into_keys().collect::<Vec<_>>(),
                ["t1 c1 a2 a1"]
            );
        }
    }

    #[tokio::test]
    async fn preferred_networks_come_first_and_the_rest_last() {
        let text = "loadbalance {\n prefer 192.0.2.4/31 2001:db8::3/128\n prefer 192.0.2.3/32\n}\nwords";
        let block = set_up(
            &[crate::PLUGIN, behind!("t1 a3 a4 q3 q1 m1 c1|t1 a9 c2|A3 t2 A5")],
            text,
        )
        .unwrap();
        let seen: Vec<String> = census(&block, RecordType::A, 30).await.into_keys().collect();
        assert_eq!(seen, ["c1 a4 q3 a3 q1 m1 t1|c2 t1 a9|A5 A3 t2"]);
    }

    #[tokio::test]
    async fn weights_choose_the_first_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, "WWW.example.org\n192.0.2.1 100\n192.0.2.2 200\n").unwrap();
        let text = format!(
            "loadbalance weighted {} {{\n reload 0s\n}}\nwords",
            path.display()
        );
        let block = set_up(&[crate::PLUGIN, behind!("t1 a1 a2 a3 c1|t2 c2|A1 t3 A2")], &text).unwrap();
        let context = catena_core::plugin::StartContext::detached(
            catena_core::plugin::Shared::default(),
            catena_core::log::LogSink::captured().0,
        );
        for lifecycle in &block.lifecycles {
            lifecycle.start(&context).await.unwrap();
        }
        let seen = census(&block, RecordType::A, 3010).await;
        let mut first: BTreeMap<&str, u32> = BTreeMap::new();
        for (answer, times) in &seen {
            let answer = answer.strip_prefix("c1 t1 ").unwrap();
            let (answer, rest) = answer.split_once('|').unwrap();
            assert!(matches!(rest, "t2 c2|t3 A1 A2" | "t2 c2|t3 A2 A1"), "{rest}");
            *first.entry(answer).or_default() += times;
        }
        // One swap, by weights of 100, 200 and 1; ten standard deviations of the first two are 260.
        assert!(
            first["a1 a2 a3"].abs_diff(1000) < 260 && first["a2 a1 a3"].abs_diff(2000) < 260,
            "{first:?}"
        );
        assert!(
            first
                .keys()
                .all(|answer| matches!(*answer, "a1 a2 a3" | "a2 a1 a3" | "a3 a2 a1")),
            "{first:?}"
        );
        // Other types keep everything as it was.
        let answer = ask(&block, RecordType::TXT).await;
        assert_eq!(answer, "t1 a1 a2 a3 c1|t2 c2|A1 t3 A2");
    }
}
