//! Writes a line from what is known of a query and its answer.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use catena_core::log::{ClassName, TypeName};
use catena_core::message::name::presentation;
use catena_core::message::{CLASS_IN, MAX_MESSAGE_LEN, MIN_UDP_SIZE, QName, Rcode, Request, Response};

use crate::classify::Kind;
use crate::format::{EMPTY, Field, Format, Part};

/// What the query was before other plugins changed it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    id: u16,
    opcode: u8,
    size: usize,
    bufsize: usize,
    dnssec_ok: bool,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let announced = request.edns().map_or(0, |edns| usize::from(edns.udp_size));
        let bufsize = match request.transport().is_datagram() {
            true => announced.max(MIN_UDP_SIZE),
            false => MAX_MESSAGE_LEN,
        };
        Self {
            id: request.id(),
            opcode: request.opcode(),
            size: request.wire().len(),
            bufsize,
            dnssec_ok: request.dnssec_ok(),
        }
    }
}

/// What is known of the answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    /// RCODE and flags of the header; none if nothing is sent.
    pub(crate) header: Option<(Rcode, u16)>,
    /// Bytes without compression.
    pub(crate) size: usize,
}

const QR: u16 = 0x8000;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;

/// A message's header, and its length.
const HEADER_LEN: usize = 12;

impl Answered {
    /// A reply.
    pub(crate) fn reply(response: &Response) -> Self {
        let flags = response
            .wire()
            .get(2..4)
            .map_or(0, |flags| u16::from_be_bytes([flags[0], flags[1]]));
        Self {
            header: Some((response.rcode(), flags)),
            size: response.uncompressed_len(),
        }
    }

    /// The answer that the server makes of an RCODE: the question alone.
    pub(crate) fn bare(request: &Request, rcode: Rcode) -> Self {
        let mut flags = QR;
        if request.opcode() == 0 {
            flags |= if request.rd() { RD } else { 0 } | if request.cd() { CD } else { 0 };
        }
        Self {
            header: Some((rcode, flags)),
            size: HEADER_LEN + request.original_question().len(),
        }
    }
}

/// All that a line is made of.
pub(crate) struct Facts<'a> {
    pub(crate) request: &'a Request,
    pub(crate) asked: Asked,
    /// Values of the format's labels, in their order.
    pub(crate) labels: &'a [String],
}

impl Format {
    /// Appends a whole line.
    pub(crate) fn write(&self, line: &mut String, facts: &Facts<'_>, answer: &AnswerFacts) {
        for part in &self.parts {
            // Writing to a string cannot fail.
            let _ = match part {
                Part::Text(text) => line.write_str(text),
                Part::Label(place) => line.write_str(facts.label(*place)),
                Part::Field(field) if field.is_of_answer() => answer.write(line, *field),
                Part::Field(field) => facts.write(line, *field),
            };
        }
    }

    /// The same format with all that the query tells written out, for an answer that comes when the query is gone.
    pub(crate) fn bind(&self, facts: &Facts<'_>) -> Self {
        let mut bound = Self {
            parts: Vec::new(),
            labels: Vec::new(),
        };
        for part in &self.parts {
            let mut text = String::new();
            let _ = match part {
                Part::Text(known) => text.write_str(known),
                Part::Label(place) => text.write_str(facts.label(*place)),
                Part::Field(field) if field.is_of_answer() => {
                    bound.parts.push(part.clone());
                    Ok(())
                }
                Part::Field(field) => facts.write(&mut text, *field),
            };
            bound.push_text(&text);
        }
        bound
    }

    /// Appends a whole line of a bound format.
    pub(crate) fn write_bound(&self, line: &mut String, answer: &AnswerFacts) {
        for part in &self.parts {
            let _ = match part {
                Part::Text(text) => line.write_str(text),
                Part::Field(field) => answer.write(line, *field),
                Part::Label(_) => Ok(()),
            };
        }
    }
}

impl Facts<'_> {
    fn label(&self, place: usize) -> &str {
        self.labels
            .get(place)
            .filter(|value| !value.is_empty())
            .map_or(EMPTY, String::as_str)
    }

    fn write(&self, line: &mut String, field: Field) -> fmt::Result {
        let Self { request, asked, .. } = self;
        match field {
            Field::Bufsize => write_number(line, asked.bufsize as u64),
            Field::Class => match self.question_code(2) {
                CLASS_IN => line.write_str("IN"),
                code => write!(line, "{}", ClassName(code)),
            },
            Field::Do => line.write_str(if asked.dnssec_ok { "true" } else { "false" }),
            Field::Id => write_number(line, asked.id.into()),
            Field::Local => write_ip(line, request.local().ip()),
            Field::Name => self.write_name(line),
            Field::Opcode => write_number(line, asked.opcode.into()),
            Field::Port => write_number(line, request.peer().port().into()),
            Field::Proto => line.write_str(request.transport().protocol()),
            Field::Remote => write_ip(line, request.peer().ip()),
            Field::Size => write_number(line, asked.size as u64),
            Field::Type => match TypeName(self.question_code(4)) {
                TypeName(1) => line.write_str("A"),
                TypeName(28) => line.write_str("AAAA"),
                other => write!(line, "{other}"),
            },
            _ => line.write_str(EMPTY),
        }
    }

    /// The name that the client asked for, in lower case, whatever a plugin has made of it since.
    fn write_name(&self, line: &mut String) -> fmt::Result {
        if self.request.original_question() == self.request.question() {
            let wire = self.request.qname().as_wire();
            if write_plain_name(line, wire) {
                return Ok(());
            }
            return write!(line, "{}", presentation(wire));
        }
        let question = self.request.original_question();
        let name = question
            .split_last_chunk::<4>()
            .and_then(|(name, _)| QName::from_wire(name).ok());
        write!(line, "{}", name.unwrap_or_default())
    }

    /// The 16 bits that start so far from the question's end.
    fn question_code(&self, from_end: usize) -> u16 {
        let question = self.request.original_question();
        let at = question.len().checked_sub(from_end);
        at.and_then(|at| question.get(at..at + 2))
            .map_or(0, |code| u16::from_be_bytes([code[0], code[1]]))
    }
}

/// All that the answer adds to a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerFacts {
    pub(crate) answered: Answered,
    pub(crate) kind: Kind,
    pub(crate) duration: Duration,
}

impl AnswerFacts {
    fn write(&self, line: &mut String, field: Field) -> fmt::Result {
        let Answered { header, size } = self.answered;
        match (field, header) {
            (Field::AnswerClass, _) => line.write_str(self.kind.class().name()),
            (Field::AnswerKind, _) => line.write_str(self.kind.name()),
            (Field::Duration, _) => write_seconds(line, self.duration),
            (Field::ResponseSize, _) => write_number(line, size as u64),
            (Field::Flags, Some((_, flags))) => write_flags(line, flags),
            (Field::Rcode, Some((rcode, _))) => match rcode.name() {
                Some(name) => line.write_str(name),
                None => write!(line, "{rcode}"),
            },
            _ => line.write_str(EMPTY),
        }
    }
}

/// A number in decimal digits. There are ten in each line, and this takes a fraction of what the general way of
/// formatting does.
fn write_number(line: &mut String, number: u64) -> fmt::Result {
    match number {
        0..10 => line.write_str(&PAIRS[2 * number as usize + 1..2 * number as usize + 2]),
        10..100 => line.write_str(pair(number)),
        100..100_000 => {
            write_number(line, number / 100)?;
            line.write_str(pair(number % 100))
        }
        _ => write!(line, "{number}"),
    }
}

/// The two digits of a number below a hundred.
fn pair(number: u64) -> &'static str {
    let at = 2 * number as usize;
    &PAIRS[at..at + 2]
}

/// 00 to 99.
const PAIRS: &str = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/// Appends a name of letters, digits, hyphens and underscores only, as nearly all are; false, and nothing, if it has
/// others.
fn write_plain_name(line: &mut String, wire: &[u8]) -> bool {
    let begin = line.len();
    let mut rest = wire;
    while let Some((&length, behind)) = rest.split_first() {
        if length == 0 {
            break;
        }
        let Some((label, behind)) = behind.split_at_checked(usize::from(length)) else {
            break;
        };
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() | (*byte == b'-') | (*byte == b'_');
        match std::str::from_utf8(label) {
            Ok(text) if label.iter().all(is_plain) => line.push_str(text),
            _ => {
                line.truncate(begin);
                return false;
            }
        }
        line.push('.');
        rest = behind;
    }
    if line.len() == begin {
        line.push('.');
    }
    true
}

/// An address as in a URL: IPv6 in brackets.
fn write_ip(line: &mut String, ip: IpAddr) -> fmt::Result {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            write_number(line, first.into())?;
            rest.into_iter().try_for_each(|octet| {
                line.push('.');
                write_number(line, octet.into())
            })
        }
        IpAddr::V6(ip) => write!(line, "[{ip}]"),
    }
}

/// Names of the flags of a header, and where they stand in it.
const FLAGS: [(u16, &str); 8] = [
    (QR, "qr"),
    (0x0400, "aa"),
    (0x0200, "tc"),
    (RD, "rd"),
    (0x0080, "ra"),
    (0x0040, "z"),
    (0x0020, "ad"),
    (CD, "cd"),
];

fn write_flags(line: &mut String, flags: u16) -> fmt::Result {
    let mut between = "";
    for (_, name) in FLAGS.iter().filter(|(flag, _)| flags & flag != 0) {
        line.write_str(between)?;
        line.write_str(name)?;
        between = ",";
    }
    Ok(())
}

/// Seconds with as many decimals as there are.
fn write_seconds(line: &mut String, duration: Duration) -> fmt::Result {
    write_number(line, duration.as_secs())?;
    let (mut fraction, mut digits) = (duration.subsec_nanos(), 9);
    if fraction != 0 {
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        let mut text = [b'0'; 9];
        for place in text[..digits].iter_mut().rev() {
            *place = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        line.push('.');
        line.extend(text[..digits].iter().map(|digit| char::from(*digit)));
    }
    line.write_char('s')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal_digits() {
        for number in (0..=70_000).chain([99_999, 100_000, 4_294_967_296, u64::MAX]) {
            let mut line = String::new();
            write_number(&mut line, number).unwrap();
            assert_eq!(line, number.to_string());
        }
    }

    #[test]
    fn plain_names_are_written_as_the_general_way_does() {
        for (name, plain) in [
            ("www.example.org.", true),
            ("_a-1.b.", true),
            (".", true),
            ("a\\.b.", false),
            ("\\200.x.", false),
        ] {
            let qname = QName::from_presentation(name).unwrap();
            let mut line = String::from("x");
            assert_eq!(write_plain_name(&mut line, qname.as_wire()), plain, "{name}");
            let want = if plain {
                format!("x{}", presentation(qname.as_wire()))
            } else {
                "x".to_owned()
            };
            assert_eq!(line, want, "{name}");
        }
    }
    use catena_core::message::{QueryBuilder, Transport};

    fn line(format: &str, request: &Request, answered: Answered) -> String {
        let facts = Facts {
            request,
            asked: Asked::of(request),
            labels: &[],
        };
        let answer = AnswerFacts {
            answered,
            kind: Kind::NoError,
            duration: Duration::from_micros(37_990),
        };
        let format = Format::parse(format, true);
        let (mut line, mut bound) = (String::new(), String::new());
        format.write(&mut line, &facts, &answer);
        format.bind(&facts).write_bound(&mut bound, &answer);
        assert_eq!(line, bound);
        line.strip_prefix("[INFO] ").unwrap().to_owned()
    }

    #[test]
    fn the_query_is_shown_as_it_came() {
        let format =
            "{type}|{class}|{name}|{proto}|{size}|{remote}|{port}|{local}|{>id}|{>opcode}|{>do}|{>bufsize}";
        let query = QueryBuilder::new("P1.example.ORG.", 1_u16).unwrap().id(5);
        for (request, want) in [
            (
                query.clone().edns(1400, true).to_request(),
                "A|IN|p1.example.org.|udp|43|192.0.2.53|5353|127.0.0.1|5|0|true|1400",
            ),
            (
                query.clone().edns(100, false).to_request(),
                "A|IN|p1.example.org.|udp|43|192.0.2.53|5353|127.0.0.1|5|0|false|512",
            ),
            (
                query.to_request_over(Transport::Tls),
                "A|IN|p1.example.org.|tcp|32|192.0.2.53|5353|127.0.0.1|5|0|false|65535",
            ),
            (
                QueryBuilder::new(".", 65280_u16)
                    .unwrap()
                    .class(3)
                    .opcode(4)
                    .to_request_over(Transport::Quic),
                "TYPE65280|CH|.|udp|17|192.0.2.53|5353|127.0.0.1|0|4|false|512",
            ),
        ] {
            assert_eq!(line(format, &request.unwrap(), Answered::default()), want);
        }
    }

    #[test]
    fn what_the_client_asked_is_shown_though_a_plugin_changed_it() {
        let mut request = QueryBuilder::new("Public.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        request.set_question(b"\x06secret\x00", 16, 3).unwrap();
        assert_eq!(
            line("{name} {type} {class}", &request, Answered::default()),
            "public.example.org. A IN"
        );
    }

    #[test]
    fn the_answer_is_shown_and_its_absence() {
        let format = "{rcode} {>rflags} {rsize} {duration}";
        let mut request = QueryBuilder::new("a.example.org.", 1_u16)
            .unwrap()
            .to_request()
            .unwrap();
        for (answered, want) in [
            (Answered::default(), "- - 0 0.03799s"),
            (
                Answered::bare(&request, Rcode::SERVFAIL),
                "SERVFAIL qr,rd 31 0.03799s",
            ),
            (
                Answered::reply(&request.reply().authoritative(true).finish()),
                "NOERROR qr,aa,rd 31 0.03799s",
            ),
            (
                Answered {
                    header: Some((Rcode(12), 0xffff)),
                    size: 7,
                },
                "12 qr,aa,tc,rd,ra,z,ad,cd 7 0.03799s",
            ),
            (
                Answered {
                    header: Some((Rcode::BADVERS, 0)),
                    size: 7,
                },
                "BADSIG  7 0.03799s",
            ),
        ] {
            assert_eq!(line(format, &request, answered), want);
        }
    }

    #[test]
    fn only_queries_have_their_flags_copied() {
        let query = QueryBuilder::new("a.", 6_u16).unwrap().checking_disabled(true);
        for (opcode, want) in [(0, "qr,rd,cd"), (4, "qr")] {
            let request = query.clone().opcode(opcode).to_request().unwrap();
            assert_eq!(
                line("{>rflags}", &request, Answered::bare(&request, Rcode::REFUSED)),
                want
            );
        }
    }

    #[test]
    fn seconds_have_as_many_decimals_as_needed() {
        for (nanoseconds, want) in [
            (0, "0s"),
            (1, "0.000000001s"),
            (37_990_251, "0.037990251s"),
            (500_000_000, "0.5s"),
            (3_000_000_000, "3s"),
        ] {
            let mut text = String::new();
            write_seconds(&mut text, Duration::from_nanos(nanoseconds)).unwrap();
            assert_eq!(text, want);
        }
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        for (ip, want) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::1", "[::1]"),
        ] {
            let mut text = String::new();
            write_ip(&mut text, ip.parse().unwrap()).unwrap();
            assert_eq!(text, want);
        }
    }
}
