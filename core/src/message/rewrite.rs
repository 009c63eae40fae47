//! Writing messages anew from their own records: compressed, cut to a size, or with another question.

use super::compress::Compressor;
use super::name::MAX_NAME_LEN;
use super::rdata;
use super::wire::{HEADER_LEN, RecordView, Records, Section, TC, check_name, put_u16, questions_end, u16_at};

/// A question section's only question: name, type, class.
pub(crate) type Question = Vec<u8>;

/// Suffixes of names that are remembered when a message is written anew.
const SLOTS: usize = 2048;

/// Sets the counts to what was found before the bytes ran out.
#[inline]
pub(crate) fn correct_counts(wire: &mut [u8], (section, seen): (usize, u16)) {
    for (index, place) in Section::ALL.iter().enumerate().skip(section) {
        put_u16(wire, place.count_at(), if index == section { seen } else { 0 });
    }
}

/// The message with `question` for its own.
pub(crate) fn with_question(wire: &[u8], question: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(wire.len() + question.len());
    out.extend_from_slice(&wire[..HEADER_LEN]);
    out.extend_from_slice(question);
    put_u16(&mut out, 4, 1);
    let mut names = Compressor::<SLOTS>::new();
    note_question(&out, &mut names);
    for record in Records::of_message(wire).unwrap_or_else(Records::none) {
        push_record(&record, &mut out, &mut names);
    }
    out
}

/// The message with these records in place of its own, as many as there are; none if `wire` cannot be read.
pub(crate) fn with_records(wire: &[u8], records: &[RecordView<'_>]) -> Option<Vec<u8>> {
    let question_end = questions_end(wire)?;
    let mut out = Vec::with_capacity(wire.len() + 64);
    out.extend_from_slice(&wire[..question_end]);
    let mut names = Compressor::<SLOTS>::new();
    note_question(&out, &mut names);
    for record in records {
        push_record(record, &mut out, &mut names);
    }
    Some(out)
}

/// The message compressed and, if need be, cut to `limit` bytes, with `opt` (an OPT record or nothing) at its end.
///
/// Whole records are taken in their order until one does not fit; then TC is set. Other OPT records are left out, and
/// `opt` itself if not even that leaves room for the question. None if `wire` cannot be read.
pub(crate) fn compressed(wire: &[u8], opt: &[u8], limit: usize) -> Option<Vec<u8>> {
    let question_end = questions_end(wire)?;
    if question_end > limit {
        return Some(header_alone(wire));
    }
    let mut out = Vec::with_capacity(wire.len().min(limit) + 64);
    out.extend_from_slice(&wire[..question_end]);
    let opt = if question_end + opt.len() <= limit {
        opt
    } else {
        &[]
    };
    let room = limit - opt.len().min(limit);
    let mut names = Compressor::<SLOTS>::new();
    note_question(&out, &mut names);
    let mut counts = [0_u16; 3];
    let mut cut = false;
    let mut records = Records::starting_at(wire, question_end);
    while let Some(record) = records.advance().ok()? {
        if record.is_opt() && record.section() == Section::Additional {
            continue;
        }
        let mark = out.len();
        push_record(&record, &mut out, &mut names);
        if out.len() > room {
            out.truncate(mark);
            cut = true;
            break;
        }
        counts[record.section() as usize] += 1;
    }
    for section in Section::ALL {
        put_u16(&mut out, section.count_at(), counts[section as usize]);
    }
    if cut {
        let flags = u16_at(&out, 2);
        put_u16(&mut out, 2, flags | TC);
    }
    if !opt.is_empty() {
        out.extend_from_slice(opt);
        put_u16(
            &mut out,
            Section::Additional.count_at(),
            counts[2].saturating_add(1),
        );
    }
    Some(out)
}

/// What remains of a message whose questions alone are too long.
fn header_alone(wire: &[u8]) -> Vec<u8> {
    let mut out = wire[..HEADER_LEN].to_vec();
    out[4..].fill(0);
    put_u16(&mut out, 2, u16_at(wire, 2) | TC);
    out
}

/// Lets later names point to the question's.
pub(crate) fn note_question<const N: usize>(wire: &[u8], names: &mut Compressor<N>) {
    if let Some(name) = check_name(wire, HEADER_LEN)
        && name.end - HEADER_LEN == name.len
    {
        names.note(wire, HEADER_LEN, &wire[HEADER_LEN..name.end]);
    }
}

fn push_record<const N: usize>(record: &RecordView<'_>, out: &mut Vec<u8>, names: &mut Compressor<N>) {
    let mut buffer = [0; MAX_NAME_LEN];
    names.write(out, record.owner_as_written(&mut buffer), true);
    let fixed = out.len();
    out.extend_from_slice(&record.message()[record.fixed_at()..record.rdata_at()]);
    rdata::compress(record, out, names);
    // Expanded names can make data longer than its field can say, but only beyond what any limit lets through.
    let len = out.len() - fixed - 10;
    put_u16(out, fixed + 8, u16::try_from(len).unwrap_or(u16::MAX));
}
