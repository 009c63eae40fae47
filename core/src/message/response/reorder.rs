//! Putting the records of an answer into another order.

use super::Response;
use crate::message::rewrite;
use crate::message::wire::{RecordView, Section};

/// Type codes of records whose data holds no name: A, AAAA and OPT.
const WITHOUT_NAMES: [u16; 3] = [1, 28, 41];

impl Response {
    /// Puts the records of each section into another order: `arrange` gets those of one section after the other, as far
    /// as there are two or more, and moves them.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use catena_core::message::{CLASS_IN, Owner, QueryBuilder};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut request = QueryBuilder::new("www.example.org.", 1_u16)?.to_request()?;
    /// let mut reply = request.reply();
    /// for last in [1, 2] {
    ///     reply.answer(Owner::Question, 1_u16, CLASS_IN, 60, Ipv4Addr::new(192, 0, 2, last));
    /// }
    /// let mut response = reply.finish();
    /// response.reorder(|_, records| records.reverse());
    /// assert_eq!(response.records().next().unwrap().rdata(), [192, 0, 2, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reorder(&mut self, mut arrange: impl FnMut(Section, &mut [RecordView<'_>])) {
        let mut records: Vec<RecordView<'_>> = self.records().collect();
        let mut rest = records.as_mut_slice();
        for section in Section::ALL {
            let len = rest
                .iter()
                .take_while(|record| record.section() == section)
                .count();
            let (these, behind) = rest.split_at_mut(len);
            if len > 1 {
                arrange(section, these);
            }
            rest = behind;
        }
        let moved = |(place, record): (RecordView<'_>, &RecordView<'_>)| place.start() != record.start();
        let Some(first) = self.records().zip(&records).position(moved) else {
            return;
        };
        if let Some(moves) = self.moves(&records, first) {
            let before = self.wire.clone();
            for (from, to, len) in moves {
                self.wire[to..to + len].copy_from_slice(&before[from..from + len]);
            }
            return;
        }
        let written = rewrite::with_records(&self.wire, &records);
        if let Some(written) = written.and_then(|wire| Self::from_wire(wire).ok()) {
            let rare = self.rare.take();
            *self = Self { rare, ..written };
        }
    }

    /// How to copy bytes so that the records stand in their new order: from where, to where, how many. None unless
    /// each takes a place of its own length and owner, and no name in the message can point into what is moved.
    fn moves(&self, records: &[RecordView<'_>], first: usize) -> Option<Vec<(usize, usize, usize)>> {
        let floor = self.records().nth(first)?.start();
        let mut moves = Vec::with_capacity(records.len());
        for (place, record) in self.records().zip(records).skip(first) {
            let owner = &self.wire[place.start()..place.fixed_at()];
            let points_before = match *owner {
                [0] => true,
                [high, low] if high >= 0xc0 => usize::from(high & 0x3f) << 8 | usize::from(low) < floor,
                _ => false,
            };
            if !points_before || !WITHOUT_NAMES.contains(&place.type_code()) {
                return None;
            }
            if place.start() == record.start() {
                continue;
            }
            let fits = *owner == self.wire[record.start()..record.fixed_at()]
                && place.end() - place.start() == record.end() - record.start()
                && !place.is_opt();
            if !fits {
                return None;
            }
            moves.push((record.start(), place.start(), record.end() - record.start()));
        }
        Some(moves)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::message::name::{MAX_NAME_LEN, presentation};
    use crate::message::{CLASS_IN, Owner, QueryBuilder};

    /// A record as bytes without compression.
    fn whole(record: &RecordView<'_>) -> (u8, Vec<u8>) {
        let mut out = record.owner_as_written(&mut [0; MAX_NAME_LEN]).to_vec();
        out.extend_from_slice(&record.message()[record.fixed_at()..record.fixed_at() + 8]);
        record.expand_rdata(&mut out);
        (record.section() as u8, out)
    }

    fn all(response: &Response) -> Vec<(u8, Vec<u8>)> {
        response.records().map(|record| whole(&record)).collect()
    }

    /// An answer with a record for each number: addresses of the question, addresses of another name, and aliases.
    fn answer(kinds: &[u8]) -> Response {
        let mut request = QueryBuilder::new("www.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        let mut reply = request.reply();
        for (index, kind) in kinds.iter().enumerate() {
            let last = index as u8;
            let owner = match kind % 5 {
                0..=2 => Owner::Question,
                _ => Owner::Name(b"\x01b\x07example\x03org\0"),
            };
            match kind % 5 {
                0 | 1 | 3 => reply.answer(owner, 1_u16, CLASS_IN, 60, Ipv4Addr::new(192, 0, 2, last)),
                2 => reply.answer(
                    owner,
                    28_u16,
                    CLASS_IN,
                    60,
                    Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, last.into()),
                ),
                _ => reply.answer(
                    owner,
                    5_u16,
                    CLASS_IN,
                    last.into(),
                    |rdata: &mut crate::message::RdataWriter<'_>| {
                        rdata.name(b"\x01c\x01b\x07example\x03org\0");
                    },
                ),
            };
        }
        reply.finish()
    }

    proptest! {
        /// Whatever the order, the records are the ones that were there, in the order that was asked for.
        #[test]
        fn records_stay_whole(kinds in prop::collection::vec(any::<u8>(), 0..12), keys in prop::collection::vec(any::<u8>(), 12), own_opt: bool) {
            let mut response = answer(&kinds);
            if own_opt {
                response.set_opt(1232, true);
                response.add_extended_error(15, "no");
            } else {
                response.add_option(3, b"id");
            }
            let mut want = all(&response);
            let end = kinds.len();
            let mut order: Vec<usize> = (0..end).collect();
            order.sort_by_key(|&index| keys[index]);
            let sorted: Vec<_> = order.iter().map(|&index| want[index].clone()).collect();
            want[..end].clone_from_slice(&sorted);
            response.reorder(|_, records| {
                let before = records.to_vec();
                for (place, &index) in records.iter_mut().zip(&order) {
                    *place = before[index];
                }
            });
            prop_assert_eq!(all(&response), want);
            let options = if own_opt { response.edns_options().count() } else { response.extra_options().len() };
            prop_assert_eq!(options, if own_opt { 1 } else { 6 });
            prop_assert!(Response::from_wire(response.wire().to_vec()).is_ok());
        }
    }

    #[test]
    fn addresses_of_one_name_change_places_where_they_stand() {
        let mut response = answer(&[0, 0, 0]);
        let before = response.wire().len();
        response.reorder(|_, records| records.reverse());
        assert_eq!(response.wire().len(), before);
        let last: Vec<u8> = response.records().map(|record| record.rdata()[3]).collect();
        assert_eq!(last, [2, 1, 0]);
    }

    #[test]
    fn names_that_pointed_into_a_moved_record_keep_their_meaning() {
        let mut response = answer(&[4, 3, 3]);
        response.reorder(|_, records| records.reverse());
        let mut buffer = [0; MAX_NAME_LEN];
        let records: Vec<_> = response.records().collect();
        assert_eq!(
            presentation(records[0].owner_as_written(&mut buffer)).to_string(),
            "b.example.org."
        );
        assert_eq!(records[2].target().unwrap().to_string(), "c.b.example.org.");
    }
}
