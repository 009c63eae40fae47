//! Answers from a list of records.

use catena_core::message::{Owner, QName, Rcode, ReplyBuilder, Request, Response, Section, Zone};

use crate::record::Record;

const CNAME: u16 = 5;
const SOA: u16 = 6;
const ANY: u16 = 255;

/// TTL of records that give none.
const DEFAULT_TTL: u32 = 300;

/// CNAME records that one answer follows.
const MAX_CHAIN: usize = 16;

/// Records, and how a server answers that knows them and no others.
#[derive(Clone, Debug, Default)]
pub(crate) struct ZoneData {
    records: Vec<Record>,
}

impl ZoneData {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        Self { records }
    }

    /// The answer to a request; `prepare` sets its flags.
    pub(crate) fn answer(&self, request: &mut Request, prepare: impl FnOnce(&mut ReplyBuilder)) -> Response {
        let (found, denied) = self.look_up(request);
        let mut reply = request.reply();
        prepare(&mut reply);
        for (record, as_asked) in found {
            let owner = if as_asked {
                Owner::Question
            } else {
                Owner::Name(record.owner())
            };
            push(&mut reply, Section::Answer, owner, record);
        }
        if let Some(name) = denied {
            if !self.knows(&name) {
                reply.rcode(Rcode::NXDOMAIN);
            }
            if let Some(soa) = self.soa_of(&name) {
                push(&mut reply, Section::Authority, Owner::Name(soa.owner()), soa);
            }
        }
        reply.finish()
    }

    /// The records that answer, CNAME chains followed, each with whether its owner is the name that was asked for;
    /// and the name at the end of the chain if there is no such record.
    fn look_up(&self, request: &Request) -> (Vec<(&Record, bool)>, Option<QName>) {
        let wanted = request.qtype_code();
        let mut name = request.qname().clone();
        let mut found = Vec::new();
        for round in 0..MAX_CHAIN {
            let asked = round == 0;
            let of_name = || self.records.iter().filter(|record| record.owner_name() == name);
            let before = found.len();
            let direct = of_name().filter(|record| wanted == ANY || record.type_code() == wanted);
            found.extend(direct.map(|record| (record, asked)));
            if found.len() > before {
                return (found, None);
            }
            let Some(alias) = of_name().find(|record| record.type_code() == CNAME) else {
                return (found, Some(name));
            };
            found.push((alias, asked));
            name = QName::from_wire(alias.rdata()).unwrap_or_default();
        }
        (found, None)
    }

    /// Whether the name has records, or names below it have.
    fn knows(&self, name: &QName) -> bool {
        Zone::from_wire(name.as_wire()).is_ok_and(|zone| {
            self.records
                .iter()
                .any(|record| zone.contains(record.owner_name().as_wire()))
        })
    }

    fn soa_of(&self, name: &QName) -> Option<&Record> {
        let soas = self.records.iter().filter(|record| record.type_code() == SOA);
        soas.filter(|record| Zone::from_wire(record.owner()).is_ok_and(|zone| zone.contains(name.as_wire())))
            .max_by_key(|record| record.owner().len())
    }
}

fn push(reply: &mut ReplyBuilder, section: Section, owner: Owner<'_>, record: &Record) {
    let (rtype, class) = (record.type_code(), record.class_code());
    let ttl = record.ttl().unwrap_or(DEFAULT_TTL);
    reply.record(section, owner, rtype, class, ttl, record.rdata());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Query};

    fn ask(query: &str) -> Answer {
        let zone = "
            example.org. 60 IN SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60
            a.example.org. 60 IN A 192.0.2.1
            deep.b.example.org. 60 IN A 192.0.2.2
            alias.example.org. 60 IN CNAME a.example.org.
            away.example.org. 60 IN CNAME a.example.net.
            round.example.org. 60 IN CNAME round.example.org.";
        let data = ZoneData::new(Record::parse_all(zone).expect("records"));
        let mut request = Request::from_wire_for_tests(&Query::from(query).to_wire()).expect("a query");
        Answer::from_wire(data.answer(&mut request, |_| ()).into_wire()).expect("an answer")
    }

    #[test]
    fn names_are_found_and_denied_as_by_a_server_of_these_records() {
        let soa = "example.org. SOA ns.example.org. admin.example.org. 1 7200 3600 1209600 60";
        let alias = "alias.example.org. CNAME a.example.org.";
        for (query, rcode, answer, authority) in [
            (
                "A.example.org. A",
                Rcode::NOERROR,
                vec!["A.example.org. 60 A 192.0.2.1"],
                vec![],
            ),
            ("a.example.org. MX", Rcode::NOERROR, vec![], vec![soa]),
            ("b.example.org. A", Rcode::NOERROR, vec![], vec![soa]),
            ("c.example.org. A", Rcode::NXDOMAIN, vec![], vec![soa]),
            (
                "alias.example.org. A",
                Rcode::NOERROR,
                vec![alias, "a.example.org. A 192.0.2.1"],
                vec![],
            ),
            ("alias.example.org. MX", Rcode::NOERROR, vec![alias], vec![soa]),
            ("alias.example.org. CNAME", Rcode::NOERROR, vec![alias], vec![]),
            (
                "away.example.org. A",
                Rcode::NXDOMAIN,
                vec!["away.example.org. CNAME a.example.net."],
                vec![],
            ),
            ("example.net. A", Rcode::NXDOMAIN, vec![], vec![]),
        ] {
            ask(query)
                .assert_rcode(rcode)
                .assert_answer(answer)
                .assert_authority(authority);
        }
        assert_eq!(ask("round.example.org. A").answer().len(), MAX_CHAIN);
    }
}
