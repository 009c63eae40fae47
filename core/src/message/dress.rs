//! Options that the server itself gives to clients which ask for them: padding (RFC 7830) and the time between queries
//! (RFC 7828).

use super::edns::{self, EdnsOptions, OPT_LEN, PADDING, TCP_KEEPALIVE};
use super::fit::fit_plainly;
use super::request::Request;
use super::response::Response;
use super::wire::{Records, put_u16};

/// Fits an answer to its client and adds what the listener adds. A client that has sent an option gets the server's own in
/// its place; one that an upstream has sent was for the way from there.
#[cold]
pub(super) fn fit_and_dress(response: Response, request: &Request, limit: usize) -> Vec<u8> {
    let options = request.answer_options();
    let asks = |code| request.edns_option(code).is_some();
    let padding = (options.padding != 0 && asks(PADDING)).then_some(usize::from(options.padding));
    let keepalive = (options.keepalive != 0 && asks(TCP_KEEPALIVE)).then_some(options.keepalive);
    let mut wire = fit_plainly(response, request, limit);
    let Some(at) = last_opt(&wire) else { return wire };
    if let Some(time) = keepalive {
        remove(&mut wire, at, TCP_KEEPALIVE);
        edns::push_option(&mut wire, at, TCP_KEEPALIVE, &time.to_be_bytes());
    }
    if let Some(block) = padding {
        remove(&mut wire, at, PADDING);
        // Four bytes are the option's own head. What would be longer than the client takes is padded up to there.
        let least = wire.len() + 4;
        let padded = least.next_multiple_of(block).min(limit);
        if padded >= least {
            edns::push_option(&mut wire, at, PADDING, &vec![0; padded - least]);
        }
    }
    wire
}

/// Where the type of the OPT record stands, if that record ends the message.
fn last_opt(wire: &[u8]) -> Option<usize> {
    let last = Records::of_message(wire)?.last()?;
    let at = last.fixed_at();
    (last.is_opt() && last.end() == wire.len()).then_some(at)
}

/// Takes all options of a kind out of the OPT record at `at`, which ends the message.
fn remove(wire: &mut Vec<u8>, at: usize, code: u16) {
    let begin = at - 1 + OPT_LEN;
    let data = wire.split_off(begin.min(wire.len()));
    for (kind, value) in EdnsOptions::new(&data).filter(|(kind, _)| *kind != code) {
        wire.extend_from_slice(&kind.to_be_bytes());
        wire.extend_from_slice(&(value.len() as u16).to_be_bytes());
        wire.extend_from_slice(value);
    }
    let length = wire.len() - begin;
    put_u16(wire, at + 8, length as u16);
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;
    use crate::message::{AnswerOptions, QueryBuilder, Rcode, Response, Transport, error_reply, fit};

    const ON: AnswerOptions = AnswerOptions {
        padding: 468,
        keepalive: 100,
    };

    fn query(options: &[(u16, &[u8])]) -> Request {
        let mut query = QueryBuilder::new("a.example.org.", RecordType::A)
            .unwrap()
            .edns(1232, false);
        for (code, value) in options {
            query = query.option(*code, value);
        }
        Request::from_wire_over(query.to_wire().as_slice(), Transport::Tls).unwrap()
    }

    fn answer(options: &[(u16, &[u8])], on: AnswerOptions) -> Vec<u8> {
        let mut request = query(options);
        request.set_answer_options(on);
        let reply = error_reply(&mut request, Rcode::NXDOMAIN);
        fit(reply, &request)
    }

    fn options_of(wire: &[u8]) -> Vec<(u16, usize)> {
        let response = Response::from_wire(wire.to_vec()).unwrap();
        response
            .edns_options()
            .map(|(code, value)| (code, value.len()))
            .collect()
    }

    #[test]
    fn answers_are_padded_for_those_who_pad() {
        let wire = answer(&[(PADDING, &[0; 20])], ON);
        assert_eq!(wire.len(), 468);
        assert_eq!(options_of(&wire).len(), 1);
        let without = answer(&[(3, b"")], ON);
        assert!(without.len() < 100 && options_of(&without) == [(3, 0)]);
    }

    #[test]
    fn the_time_between_queries_is_told_to_those_who_ask() {
        let wire = answer(&[(TCP_KEEPALIVE, b""), (10, b"12345678")], ON);
        assert_eq!(options_of(&wire), [(10, 8), (TCP_KEEPALIVE, 2)]);
        assert!(wire.ends_with(&[0, 11, 0, 2, 0, 100]));
    }

    #[test]
    fn options_come_back_as_they_are_where_that_is_off() {
        let wire = answer(
            &[(TCP_KEEPALIVE, b""), (PADDING, &[0; 7])],
            AnswerOptions::default(),
        );
        assert_eq!(options_of(&wire), [(TCP_KEEPALIVE, 0), (PADDING, 7)]);
    }

    #[test]
    fn padding_keeps_to_what_a_client_takes() {
        let mut request = query(&[(PADDING, b"")]);
        request.set_answer_options(AnswerOptions {
            padding: 30_000,
            keepalive: 0,
        });
        let reply = error_reply(&mut request, Rcode::NXDOMAIN);
        assert_eq!(crate::message::fit_to(reply, &request, 512).len(), 512);
    }
}
