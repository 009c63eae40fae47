//! Data with fields and methods: what a template finds under its dot.
//!
//! The crate's data knows maps only, in which a missing field is no error and no method takes arguments. So an object is
//! a function that gives a field's value by its name, and [`adapt`](super::adapt) has templates call it.

use std::collections::BTreeMap;
use std::sync::Arc;

use catena_core::message::name::{MAX_NAME_LEN, presentation};
use catena_core::message::{RecordView, Request, Section};
use gotmpl::{TemplateError, Value};

use crate::facts::Facts;

/// The field of an object; none if there is no such field.
type Found = Option<gotmpl::Result<Value>>;

fn object(type_name: &'static str, field: impl Fn(&str, &[Value]) -> Found + Send + Sync + 'static) -> Value {
    Value::Function(Arc::new(move |args: &[Value]| {
        let Some((Value::String(name), args)) = args.split_first() else {
            return Err(TemplateError::Exec(format!("{type_name} is no function")));
        };
        field(name, args).unwrap_or_else(|| {
            let message = format!("can't evaluate field {name} in type {type_name}");
            Err(TemplateError::Exec(message))
        })
    }))
}

/// Gives the value at the end of a path of fields: the value to begin with, the path, and arguments for its end.
pub(super) fn field(args: &[Value]) -> gotmpl::Result<Value> {
    let [value, Value::String(path), args @ ..] = args else {
        return Err(TemplateError::Exec("no field is named".to_owned()));
    };
    let mut value = value.clone();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let args = if names.peek().is_none() { args } else { &[] };
        value = one_field(&value, name, args)?;
    }
    Ok(value)
}

fn one_field(value: &Value, name: &str, args: &[Value]) -> gotmpl::Result<Value> {
    match value {
        Value::Function(object) => {
            let mut all = vec![Value::String(name.into())];
            all.extend_from_slice(args);
            object(&all)
        }
        Value::Map(_) | Value::Nil if !args.is_empty() => Err(has_arguments(name)),
        Value::Map(map) => Ok(map.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Nil => Ok(Value::Nil),
        other => {
            let message = format!("can't evaluate field {name} in type {}", other.type_name());
            Err(TemplateError::Exec(message))
        }
    }
}

fn has_arguments(name: &str) -> TemplateError {
    TemplateError::Exec(format!("{name} is not a method but has arguments"))
}

/// Makes a text of an object that has one; other values stay as they are.
pub(super) fn show(args: &[Value]) -> gotmpl::Result<Value> {
    match args {
        [Value::Function(object)] => object(&[Value::String("String".into())]),
        [value] => Ok(value.clone()),
        _ => Err(TemplateError::Exec("one value is shown".to_owned())),
    }
}

/// A field that takes no arguments.
fn plain(name: &str, args: &[Value], value: impl Into<Value>) -> Found {
    Some(if args.is_empty() {
        Ok(value.into())
    } else {
        Err(has_arguments(name))
    })
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::List(values.into_iter().collect())
}

/// Makes the value of a field.
type Make = fn(&Facts<'_>) -> Value;

/// What a template has under its dot, beside `Meta`.
const FIELDS: [(&str, Make); 10] = [
    ("Class", |facts| text(facts.class)),
    ("Group", group),
    ("Match", |facts| list(facts.groups.all().map(text))),
    ("Message", |facts| message(facts.request)),
    ("Name", |facts| text(facts.name)),
    ("Question", |facts| question(facts.request)),
    ("Regex", |facts| text(facts.pattern.text())),
    ("Remote", |facts| text(&facts.request.peer().ip().to_string())),
    ("Type", |facts| text(facts.rtype)),
    ("Zone", |facts| text(facts.zone)),
];

/// What a template has under its dot: the fields that the rule's templates name anywhere.
pub(crate) fn root(facts: &Facts<'_>) -> Value {
    let fields: Vec<(&'static str, Value)> = FIELDS
        .iter()
        .filter(|(name, _)| facts.named.contains(*name))
        .map(|(name, make)| (*name, make(facts)))
        .collect();
    let metadata = if facts.named.contains("Meta") {
        facts.all_metadata()
    } else {
        Vec::new()
    };
    object("*template.templateData", move |name, args| {
        if name == "Meta" {
            return Some(match args {
                [Value::String(label)] => {
                    let found = metadata.iter().rev().find(|(known, _)| **known == **label);
                    Ok(text(found.map_or("", |(_, value)| value)))
                }
                [other] => {
                    let message = format!("wrong type for Meta: expected string, got {}", other.type_name());
                    Err(TemplateError::Exec(message))
                }
                _ => {
                    let message = format!("wrong number of args for Meta: want 1 got {}", args.len());
                    Err(TemplateError::Exec(message))
                }
            });
        }
        let (_, value) = fields.iter().find(|(known, _)| *known == name)?;
        plain(name, args, value.clone())
    })
}

/// Groups by number and by name; a name holds where both are the same.
fn group(facts: &Facts<'_>) -> Value {
    let numbered = facts.groups.all().enumerate();
    let mut map: BTreeMap<Arc<str>, Value> = numbered
        .map(|(place, group)| (place.to_string().into(), text(group)))
        .collect();
    for (name, place) in facts.pattern.names() {
        map.insert(name.into(), text(facts.groups.get(place).unwrap_or_default()));
    }
    Value::Map(Arc::new(map))
}

fn question(request: &Request) -> Value {
    let name = text(&request.name_display().to_string());
    let (qtype, qclass) = (request.qtype_code(), request.qclass_code());
    object("*dns.Question", move |field, args| {
        let value = match field {
            "Name" => name.clone(),
            "Qtype" => Value::Uint(qtype.into()),
            "Qclass" => Value::Uint(qclass.into()),
            "String" => text(&format!(";{name}\t{}\t {}", class_text(qclass), type_text(qtype))),
            _ => return None,
        };
        plain(field, args, value)
    })
}

fn class_text(code: u16) -> String {
    catena_records::class_name(code).map_or_else(|| format!("CLASS{code}"), str::to_owned)
}

fn type_text(code: u16) -> String {
    catena_core::log::TypeName(code).to_string()
}

/// The query: its header, its question, its records by their headers, and EDNS.
fn message(request: &Request) -> Value {
    let flags = request
        .wire()
        .get(2..4)
        .map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let flag = move |bit: u16| Value::Bool(flags & bit != 0);
    let (id, opcode, len) = (request.id(), request.opcode(), request.wire().len());
    let questions = list([question(request)]);
    let records = |section| {
        let of_section = request.records().filter(|record| record.section() == section);
        list(of_section.map(|record| record_object(&record, request)))
    };
    let sections = [
        ("Answer", records(Section::Answer)),
        ("Ns", records(Section::Authority)),
        ("Extra", records(Section::Additional)),
    ];
    let edns = request.edns().map_or(Value::Nil, |_| opt(request));
    object("*dns.Msg", move |field, args| {
        let value = match field {
            "Id" => Value::Uint(id.into()),
            "Opcode" => Value::Int(opcode.into()),
            "Rcode" => Value::Int(i64::from(flags & 0xf)),
            "Response" => flag(0x8000),
            "Authoritative" => flag(0x0400),
            "Truncated" => flag(0x0200),
            "RecursionDesired" => flag(0x0100),
            "RecursionAvailable" => flag(0x0080),
            "Zero" => flag(0x0040),
            "AuthenticatedData" => flag(0x0020),
            "CheckingDisabled" => flag(0x0010),
            "Compress" => Value::Bool(false),
            "Question" => questions.clone(),
            "IsEdns0" => edns.clone(),
            "Len" => Value::Int(len as i64),
            _ => sections.iter().find(|(known, _)| *known == field)?.1.clone(),
        };
        plain(field, args, value)
    })
}

/// A record of the query: its header, or all of an OPT record.
fn record_object(record: &RecordView<'_>, request: &Request) -> Value {
    if record.is_opt() {
        return opt(request);
    }
    let header = header(record);
    object("dns.RR", move |field, args| match field {
        "Header" | "Hdr" => plain(field, args, header.clone()),
        _ => None,
    })
}

fn header(record: &RecordView<'_>) -> Value {
    let mut buffer = [0; MAX_NAME_LEN];
    let owner = presentation(record.owner_as_written(&mut buffer)).to_string();
    let (rtype, class, ttl) = (record.type_code(), record.class_code(), record.ttl());
    let len = record.rdata().len();
    object("*dns.RR_Header", move |field, args| {
        let value = match field {
            "Name" => text(&owner),
            "Rrtype" => Value::Uint(rtype.into()),
            "Class" => Value::Uint(class.into()),
            "Ttl" => Value::Uint(ttl.into()),
            "Rdlength" => Value::Uint(len as u64),
            _ => return None,
        };
        plain(field, args, value)
    })
}

/// The query's OPT record.
fn opt(request: &Request) -> Value {
    let Some(edns) = request.edns().copied() else {
        return Value::Nil;
    };
    let options = list(request.edns_options().map(|(code, _)| {
        object("dns.EDNS0", move |field, args| match field {
            "Option" => plain(field, args, Value::Uint(code.into())),
            _ => None,
        })
    }));
    let record = request.records().filter(RecordView::is_opt).last();
    let header = record.map_or(Value::Nil, |record| header(&record));
    object("*dns.OPT", move |field, args| {
        let value = match field {
            "UDPSize" => Value::Uint(edns.udp_size.into()),
            "Version" => Value::Uint(edns.version.into()),
            "Do" => Value::Bool(edns.dnssec_ok),
            "Option" => options.clone(),
            "Hdr" | "Header" => header.clone(),
            _ => return None,
        };
        plain(field, args, value)
    })
}
