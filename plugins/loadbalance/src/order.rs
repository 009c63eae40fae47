//! The order of the records in a section.
//!
//! Whatever the policy, aliases come first, since some resolvers rely on that; within each kind records keep their
//! order but for what the policy does.

use std::net::IpAddr;

use catena_core::message::RecordView;
use ipnet::IpNet;

use crate::weights::{Weights, address};

/// Gives a number below its argument, which is at least 1.
pub(crate) type Random<'a> = &'a mut dyn FnMut(usize) -> usize;

const A: u16 = 1;
const CNAME: u16 = 5;
const MX: u16 = 15;
const AAAA: u16 = 28;

/// Mixes addresses and mail exchangers: aliases, the rest, addresses, exchangers.
pub(crate) fn shuffle(records: &mut [RecordView<'_>], random: Random<'_>) {
    records.sort_by_key(|record| match record.type_code() {
        CNAME => 0,
        A | AAAA => 2,
        MX => 3,
        _ => 1,
    });
    mix(kind(records, |code| matches!(code, A | AAAA)), random);
    mix(kind(records, |code| code == MX), random);
}

/// Puts addresses of preferred networks first: aliases, addresses, exchangers, the rest.
pub(crate) fn prefer(records: &mut [RecordView<'_>], networks: &[IpNet]) {
    records.sort_by_key(|record| match record.type_code() {
        CNAME => (0, 0),
        A | AAAA => (1, preference(record, networks)),
        MX => (2, 0),
        _ => (3, 0),
    });
}

/// Puts one address before the others, chosen by weight; without addresses nothing is changed.
pub(crate) fn weigh(records: &mut [RecordView<'_>], weights: &Weights, random: Random<'_>) {
    if !records
        .iter()
        .any(|record| matches!(record.type_code(), A | AAAA))
    {
        return;
    }
    records.sort_by_key(|record| match record.type_code() {
        CNAME => 0,
        A | AAAA => 2,
        MX => 3,
        _ => 1,
    });
    let addresses = kind(records, |code| matches!(code, A | AAAA));
    let weight = |record: &RecordView<'_>| usize::from(weights.of(record));
    let mut left = random(addresses.iter().map(weight).sum());
    for place in 0..addresses.len() {
        let weight = weight(&addresses[place]);
        if left < weight {
            addresses.swap(0, place);
            return;
        }
        left -= weight;
    }
}

/// How far behind the most preferred network an address stands.
fn preference(record: &RecordView<'_>, networks: &[IpNet]) -> usize {
    let holds = |address: IpAddr| networks.iter().position(|network| network.contains(&address));
    address(record).and_then(holds).unwrap_or(networks.len())
}

/// The run of records whose types are `wanted`, in a section that is sorted by kind.
fn kind<'s, 'r>(records: &'s mut [RecordView<'r>], wanted: impl Fn(u16) -> bool) -> &'s mut [RecordView<'r>] {
    let start = records.iter().position(|record| wanted(record.type_code()));
    let start = start.unwrap_or(records.len());
    let len = records[start..]
        .iter()
        .take_while(|record| wanted(record.type_code()))
        .count();
    &mut records[start..start + len]
}

/// Every order is as likely as any other (Fisher and Yates).
fn mix(records: &mut [RecordView<'_>], random: Random<'_>) {
    for place in 0..records.len().saturating_sub(1) {
        let other = place + random(records.len() - place);
        records.swap(place, other);
    }
}
