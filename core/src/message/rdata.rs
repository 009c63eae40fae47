//! Where names stand in the data of records, for expanding and compressing them.

use super::compress::Compressor;
use super::name::MAX_NAME_LEN;
use super::wire::{NameSpan, RecordView, check_name, expand_name};

/// What record data looks like up to its last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Bytes before the first name, or before the strings.
    prefix: u8,
    /// Character strings between prefix and names.
    strings: u8,
    names: u8,
    /// Whether the names may be compressed when written: only those of RFC 1035 (RFC 3597, section 4).
    compressible: bool,
    /// Whether the names are lower-case in canonical form (RFC 4034, section 6.2, and RFC 6840, section 5.1).
    lowered: bool,
}

const fn layout(type_code: u16) -> Option<Layout> {
    let (prefix, strings, names, compressible, lowered) = match type_code {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR
        2 | 3 | 4 | 5 | 7 | 8 | 9 | 12 => (0, 0, 1, true, true),
        // SOA, MINFO
        6 | 14 => (0, 0, 2, true, true),
        // MX
        15 => (2, 0, 1, true, true),
        // RP
        17 => (0, 0, 2, false, true),
        // AFSDB, RT, KX
        18 | 21 | 36 => (2, 0, 1, false, true),
        // SIG, RRSIG
        24 | 46 => (18, 0, 1, false, true),
        // PX
        26 => (2, 0, 2, false, true),
        // NXT, DNAME
        30 | 39 => (0, 0, 1, false, true),
        // SRV
        33 => (6, 0, 1, false, true),
        // NAPTR
        35 => (4, 3, 1, false, true),
        // NSAP-PTR, NSEC
        23 | 47 => (0, 0, 1, false, false),
        // TALINK
        58 => (0, 0, 2, false, false),
        // SVCB, HTTPS, LP
        64 | 65 | 107 => (2, 0, 1, false, false),
        _ => return None,
    };
    Some(Layout {
        prefix,
        strings,
        names,
        compressible,
        lowered,
    })
}

/// Checks the names in the data; gives the length of the data with all names in full.
pub(crate) fn check(record: &RecordView<'_>) -> Option<usize> {
    let mut len = record.rdata().len();
    // Empty data is a record of an update (RFC 2136) or an upstream's whim; there is no name in it.
    if len == 0 {
        return Some(0);
    }
    match record.type_code() {
        1 => return (len == 4).then_some(len),
        28 => return (len == 16).then_some(len),
        _ => {}
    }
    let Some(layout) = layout(record.type_code()) else {
        return Some(len);
    };
    let mut at = names_at(record, layout)?;
    for _ in 0..layout.names {
        let NameSpan { end, len: full } = check_name(record.message(), at)?;
        if end > record.end() {
            return None;
        }
        len = len + full - (end - at);
        at = end;
    }
    // What follows the names has a fixed length in these types.
    match record.type_code() {
        6 => (record.end() - at == 20).then_some(len),
        2..=5 | 7..=9 | 12 | 14 | 15 | 17 | 18 | 21 | 26 | 33 | 35 | 36 | 39 => {
            (at == record.end()).then_some(len)
        }
        _ => Some(len),
    }
}

/// Offset in the message of the first name in the data.
pub(crate) fn first_name_at(record: &RecordView<'_>) -> Option<usize> {
    names_at(record, layout(record.type_code())?)
}

fn names_at(record: &RecordView<'_>, layout: Layout) -> Option<usize> {
    let mut at = record.rdata_at() + usize::from(layout.prefix);
    for _ in 0..layout.strings {
        at += 1 + usize::from(*record.message().get(at)?);
    }
    (at < record.end()).then_some(at)
}

/// Hands the data out in pieces: bytes, and names in full with what is known of them.
fn pieces(record: &RecordView<'_>, mut take: impl FnMut(Piece<'_>)) {
    let message = record.message();
    let mut at = record.rdata_at();
    if let Some(layout) = layout(record.type_code())
        && let Some(names_at) = names_at(record, layout)
    {
        take(Piece::Bytes(&message[at..names_at]));
        at = names_at;
        let mut buffer = [0; MAX_NAME_LEN];
        for _ in 0..layout.names {
            let Some(name) = expand_name(message, at, &mut buffer).filter(|name| name.end <= record.end())
            else {
                break;
            };
            take(Piece::Name {
                name: &mut buffer[..name.len],
                compressible: layout.compressible,
                lowered: layout.lowered,
            });
            at = name.end;
        }
    }
    take(Piece::Bytes(&message[at..record.end()]));
}

enum Piece<'a> {
    Bytes(&'a [u8]),
    Name {
        name: &'a mut [u8],
        compressible: bool,
        lowered: bool,
    },
}

/// Appends the data with all names in full.
pub(crate) fn expand(record: &RecordView<'_>, out: &mut Vec<u8>) {
    pieces(record, |piece| match piece {
        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
        Piece::Name { name, .. } => out.extend_from_slice(name),
    });
}

/// Appends the data in canonical form.
pub(crate) fn canonical(record: &RecordView<'_>, out: &mut Vec<u8>) {
    pieces(record, |piece| match piece {
        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
        Piece::Name { name, lowered, .. } => {
            if lowered {
                name.make_ascii_lowercase();
            }
            out.extend_from_slice(name);
        }
    });
}

/// Appends the data with its names compressed where that is allowed.
pub(crate) fn compress<const N: usize>(
    record: &RecordView<'_>,
    out: &mut Vec<u8>,
    compressor: &mut Compressor<N>,
) {
    pieces(record, |piece| match piece {
        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
        Piece::Name {
            name, compressible, ..
        } => compressor.write(out, name, compressible),
    });
}
