//! One way out: what a plugin answered becomes what this client can take.

use super::dress;
use super::edns::{self, Edns, EdnsOptions, OPT_LEN};
use super::rcode::Rcode;
use super::request::{AnswerOptions, Request};
use super::response::Response;
use super::rewrite;
use super::wire::{MAX_MESSAGE_LEN, OPCODE, QR, put_u16, u16_at};

/// Gives the answer the client's id and OPT record, and cuts it to what the client can take.
///
/// - A client with EDNS gets an OPT record with its own size and DO bit. If the answer has one of its own, that one is
///   kept with its options, and its DO bit stays set; else the client's options come back, as far as they are NSID,
///   EXPIRE, cookie, keepalive or padding. Clients without EDNS see the answer's own OPT record or none.
/// - What is longer than [`Request::size_limit`] is compressed; whole records then fill the answer in their order,
///   and TC is set if one is left out.
#[inline]
#[must_use]
pub fn fit(response: Response, request: &Request) -> Vec<u8> {
    fit_to(response, request, request.size_limit())
}

/// Like [`fit`] with another limit in bytes, at least 512 and at most 65535 of which are meant.
#[must_use]
pub fn fit_to(response: Response, request: &Request, limit: usize) -> Vec<u8> {
    if request.answer_options() != AnswerOptions::default()
        && request.edns().is_some_and(|edns| edns.options_len != 0)
    {
        return dress::fit_and_dress(response, request, limit);
    }
    fit_plainly(response, request, limit)
}

/// As [`fit_to`], without what the listener adds.
#[inline]
pub(super) fn fit_plainly(mut response: Response, request: &Request, limit: usize) -> Vec<u8> {
    patch_header(response.wire_mut(), request);
    let rcode_high = response.rcode_high();
    match (request.edns(), response.opt_at()) {
        (None, 0) => {}
        (None, at) => patch_rcode(response.wire_mut(), at, rcode_high),
        (Some(client), 0) => {
            let rare = !response.extra_options().is_empty();
            let at = edns::push_opt(response.wire_mut(), client.udp_size, rcode_high, client.dnssec_ok);
            if client.options_len != 0 {
                mirror_options(response.wire_mut(), at, request);
            }
            if rare {
                let options = response.extra_options().to_vec();
                for (code, value) in EdnsOptions::new(&options) {
                    edns::push_option(response.wire_mut(), at, code, value);
                }
            }
            return cut(response.into_wire(), at, limit);
        }
        (Some(client), at) => patch_own(response.wire_mut(), at, *client, rcode_high),
    }
    let at = response.opt_at();
    cut(response.into_wire(), at, limit)
}

/// An answer with nothing but a response code: QR, opcode, RD and CD as asked, the question, and no RA.
///
/// [`fit`] adds the OPT record, so that errors keep EDNS.
#[must_use]
pub fn error_reply(request: &mut Request, rcode: Rcode) -> Response {
    request.reply().rcode(rcode).finish()
}

#[inline]
fn patch_header(wire: &mut [u8], request: &Request) {
    put_u16(wire, 0, request.id());
    let flags = u16_at(wire, 2) & !OPCODE | QR | request.flags() & OPCODE;
    put_u16(wire, 2, flags);
}

fn patch_rcode(wire: &mut [u8], at: usize, rcode_high: u8) {
    if let Some(place) = wire.get_mut(at + 4) {
        *place = rcode_high;
    }
}

fn patch_own(wire: &mut [u8], at: usize, client: Edns, rcode_high: u8) {
    let dnssec_ok = client.dnssec_ok || u16_at(wire, at + 6) & 0x8000 != 0;
    edns::patch_opt(wire, at, client.udp_size, rcode_high, dnssec_ok);
}

fn mirror_options(wire: &mut Vec<u8>, at: usize, request: &Request) {
    for (code, value) in request.edns_options() {
        if edns::comes_back(code) {
            edns::push_option(wire, at, code, value);
        }
    }
}

/// Compresses and cuts what is too long; `opt_at` is where the type of the OPT record stands, or nought.
#[inline]
fn cut(wire: Vec<u8>, opt_at: usize, limit: usize) -> Vec<u8> {
    let limit = limit.min(MAX_MESSAGE_LEN);
    if wire.len() <= limit {
        return wire;
    }
    cut_down(&wire, opt_at, limit)
}

#[cold]
fn cut_down(wire: &[u8], opt_at: usize, limit: usize) -> Vec<u8> {
    let mut opt = Vec::new();
    if opt_at != 0 {
        let end = opt_at + 10 + usize::from(u16_at(wire, opt_at + 8));
        opt.push(0);
        opt.extend_from_slice(wire.get(opt_at..end).unwrap_or_default());
        // Options may take the room of records, but never that of the question.
        if opt.len() > limit / 2 {
            opt.truncate(OPT_LEN);
            put_u16(&mut opt, OPT_LEN - 2, 0);
        }
    }
    // Answers were checked when they were made, so they can be read.
    rewrite::compressed(wire, &opt, limit).unwrap_or_default()
}
