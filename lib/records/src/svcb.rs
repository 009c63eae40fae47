//! The data of SVCB and HTTPS records (RFC 9460, section 2.1 and appendix A).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::RecordError;
use crate::fields::{Field, Fields, base64};

/// Parameters by their names, at the places of their numbers.
const KEYS: [&str; 8] = [
    "mandatory",
    "alpn",
    "no-default-alpn",
    "port",
    "ipv4hint",
    "ech",
    "ipv6hint",
    "dohpath",
];

/// Reads priority, target and parameters, which are sorted by their numbers.
pub(crate) fn rdata(fields: &mut Fields<'_>, out: &mut Vec<u8>) -> Result<(), RecordError> {
    fields.u16(out, "priority")?;
    out.extend(fields.name("target")?);
    let mut params: Vec<(u16, Vec<u8>)> = Vec::new();
    while let Some(field) = fields.next() {
        let split = field.bytes.iter().position(|&byte| byte == b'=');
        let (name, mut value) = match split {
            Some(at) => (&field.bytes[..at], Some(Cow::Borrowed(&field.bytes[at + 1..]))),
            None => (&*field.bytes, None),
        };
        let code = key(name).ok_or_else(|| field.bad("parameter"))?;
        // The splitter takes a quote for a word of its own.
        if value.as_ref().is_some_and(|value| value.is_empty())
            && fields.peek().is_some_and(|next| next.quoted)
        {
            value = fields.next().map(|next| next.bytes);
        }
        let value = Field {
            bytes: value.unwrap_or_default(),
            quoted: false,
        };
        let value = param(code, &value).ok_or_else(|| field.bad("value of a parameter"))?;
        if params.iter().any(|(known, _)| *known == code) {
            return Err(field.bad("parameter, since it is there twice"));
        }
        params.push((code, value));
    }
    params.sort_by_key(|(code, _)| *code);
    for (code, value) in params {
        let len = u16::try_from(value.len()).map_err(|_| RecordError::TooLong)?;
        out.extend(code.to_be_bytes());
        out.extend(len.to_be_bytes());
        out.extend(value);
    }
    Ok(())
}

fn key(name: &[u8]) -> Option<u16> {
    let name = std::str::from_utf8(name).ok()?;
    match KEYS.iter().position(|known| *known == name) {
        Some(code) => u16::try_from(code).ok(),
        None => name.strip_prefix("key")?.parse().ok(),
    }
}

fn param(code: u16, value: &Field<'_>) -> Option<Vec<u8>> {
    let text = value.text();
    let list = || text.split(',');
    let mut out = Vec::new();
    match code {
        0 => {
            let mut codes: Vec<u16> = list().map(|name| key(name.as_bytes())).collect::<Option<_>>()?;
            codes.sort_unstable();
            codes.iter().for_each(|code| out.extend(code.to_be_bytes()));
        }
        1 => {
            for id in list() {
                out.push(u8::try_from(id.len()).ok().filter(|len| *len > 0)?);
                out.extend(id.as_bytes());
            }
        }
        2 => return value.bytes.is_empty().then_some(out),
        3 => out.extend(text.parse::<u16>().ok()?.to_be_bytes()),
        4 => list()
            .try_for_each(|ip| ip.parse::<Ipv4Addr>().map(|ip| out.extend(ip.octets())))
            .ok()?,
        5 => out = base64(&value.bytes)?,
        6 => list()
            .try_for_each(|ip| ip.parse::<Ipv6Addr>().map(|ip| out.extend(ip.octets())))
            .ok()?,
        _ => out = value.unescaped("value").ok()?,
    }
    Some(out)
}
