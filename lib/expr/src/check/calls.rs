//! Checks calls of functions and methods.

use ipnet::IpNet;

use super::{Bound, Checked, Checker, ENV, Each, Outcome, constants};
use crate::ExprError;
use crate::builtin::{BUILTINS, Builtin, Signature, Wants};
use crate::dates;
use crate::kind::Type;
use crate::methods::{self, METHODS};
use crate::query::{FIELDS, Field};
use crate::tree::{Kind, Node};
use crate::value::Value;

/// A function with a predicate.
#[derive(Clone, Copy)]
enum Asks {
    Each(Each),
    Reduce,
    SortBy,
}

/// The functions with a predicate, with the fewest and the most arguments.
const ASKS: &[(&str, Asks, usize, usize)] = &[
    ("all", Asks::Each(Each::All), 2, 2),
    ("any", Asks::Each(Each::Any), 2, 2),
    ("count", Asks::Each(Each::Count), 1, 2),
    ("filter", Asks::Each(Each::Filter), 2, 2),
    ("find", Asks::Each(Each::Find), 2, 2),
    ("findIndex", Asks::Each(Each::FindIndex), 2, 2),
    ("findLast", Asks::Each(Each::FindLast), 2, 2),
    ("findLastIndex", Asks::Each(Each::FindLastIndex), 2, 2),
    ("groupBy", Asks::Each(Each::GroupBy), 2, 2),
    ("map", Asks::Each(Each::Map), 2, 2),
    ("none", Asks::Each(Each::None), 2, 2),
    ("one", Asks::Each(Each::One), 2, 2),
    ("reduce", Asks::Reduce, 2, 3),
    ("sortBy", Asks::SortBy, 2, 3),
    ("sum", Asks::Each(Each::Sum), 1, 2),
];

impl Checker {
    pub(super) fn call(&mut self, place: usize, name: &str, args: &[Node]) -> Outcome {
        if let Some((_, field, kind)) = FIELDS.iter().find(|(known, ..)| *known == name) {
            counted(place, name, args, 0, 0)?;
            return Ok((Checked::Tell(*field), kind.clone()));
        }
        match name {
            "metadata" => {
                counted(place, name, args, 1, 1)?;
                let label = self.of_type(&args[0], &Type::Str)?;
                return Ok((Checked::Metadata(Box::new(label)), Type::Str));
            }
            "incidr" => {
                counted(place, name, args, 2, 2)?;
                let parts = [
                    self.of_type(&args[0], &Type::Str)?,
                    self.of_type(&args[1], &Type::Str)?,
                ];
                return Ok((within(parts), Type::Bool));
            }
            _ => {}
        }
        if let Some((_, asks, least, most)) = ASKS.iter().find(|(known, ..)| *known == name) {
            counted(place, name, args, *least, *most)?;
            // Without a predicate, `sum` is one of the functions on lists as a whole.
            if args.len() > 1 || name == "count" {
                return self.asking(*asks, args);
            }
        }
        let Some(signature) = BUILTINS.iter().find(|signature| signature.name == name) else {
            return Err(unknown(place, name));
        };
        counted(place, name, args, signature.least, signature.most)?;
        self.builtin(signature, args)
    }

    fn builtin(&mut self, signature: &Signature, args: &[Node]) -> Outcome {
        let (checked, kinds) = self.args(signature.name, args, signature.takes)?;
        let (builtin, gives) = (signature.builtin, signature.builtin.gives(&kinds));
        if builtin == Builtin::Now {
            // Looks the zone up before there are queries.
            dates::local();
        }
        let known = constants(&checked).filter(|args| builtin.is_timeless(args));
        let part = match known.and_then(|args| builtin.call(&args)) {
            Some(value) => Checked::Constant(value),
            None => Checked::Call(builtin, checked),
        };
        Ok((part, gives))
    }

    /// Arguments and their types, the last one that is wanted again and again.
    fn args(
        &mut self,
        name: &str,
        args: &[Node],
        takes: &[Wants],
    ) -> Result<(Vec<Checked>, Vec<Type>), ExprError> {
        let mut checked = Vec::with_capacity(args.len());
        let mut kinds = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            let (part, kind) = self.node(arg)?;
            let wants = takes.get(place).or_else(|| takes.last());
            if wants.is_some_and(|wants| !wants.accepts(&kind)) {
                let message = format!("`{name}` cannot take {kind} as its argument {}", place + 1);
                return Err(ExprError::at(arg.place, message));
            }
            checked.push(part);
            kinds.push(kind);
        }
        Ok((checked, kinds))
    }

    /// A method of the first argument.
    pub(super) fn method(&mut self, place: usize, name: &str, args: &[Node], optional: bool) -> Outcome {
        let Some((base, args)) = args.split_first() else {
            return Err(unknown(place, name));
        };
        if matches!(&base.kind, Kind::Name(env) if env == ENV) {
            let is_of_query = of_query().any(|known| known == name);
            return if is_of_query {
                self.call(place, name, args)
            } else {
                Err(unknown(place, name))
            };
        }
        let (base, kind) = self.node(base)?;
        let method = METHODS
            .iter()
            .find(|method| method.name == name && method.of.may_be(&kind));
        let Some(method) = method else {
            return Err(ExprError::at(place, format!("{kind} has no method `{name}`")));
        };
        let (takes, gives) = if kind == Type::Any {
            // Methods of one name may differ by what has them.
            (&[][..], Type::Any)
        } else {
            counted(place, name, args, method.takes.len(), method.takes.len())?;
            (method.takes, method.gives.clone())
        };
        let (args, _) = self.args(name, args, takes)?;
        let mut all = vec![base];
        all.extend(args);
        let known = constants(&all).filter(|_| name != "Local");
        let value = known.and_then(|known| methods::call(name, &known[0], &known[1..]));
        Ok((
            match value {
                Some(value) => Checked::Constant(value),
                None => Checked::Method {
                    name: method.name,
                    args: all,
                    optional,
                },
            },
            gives,
        ))
    }

    fn asking(&mut self, asks: Asks, args: &[Node]) -> Outcome {
        let (list, kind) = self.node(&args[0])?;
        let item = match kind {
            Type::List(item) => *item,
            Type::Any => Type::Any,
            kind => {
                let message = format!("{kind} where an array is wanted");
                return Err(ExprError::at(args[0].place, message));
            }
        };
        let pointers: &[(&str, Type)] = match asks {
            Asks::Each(Each::Map) => &[("index", Type::Int)],
            Asks::Each(_) | Asks::SortBy => &[],
            Asks::Reduce => &[("index", Type::Int), ("acc", Type::Any)],
        };
        let outer = self.bound.len();
        self.bound.push((Bound::Item, item.clone()));
        for (name, kind) in pointers {
            self.bound.push((Bound::Pointer(name), kind.clone()));
        }
        let predicate = match args.get(1) {
            Some(predicate) => self.predicate(asks, predicate),
            // Without a predicate, the items themselves are asked.
            None => Ok((Checked::Bound(0), item.clone())),
        };
        self.bound.truncate(outer);
        let (predicate, of_predicate) = predicate?;
        let parts = Box::new([list, predicate]);
        let mut third = |wanted: Type| match args.get(2) {
            Some(node) => self.of_type(node, &wanted).map(Box::new).map(Some),
            None => Ok(None),
        };
        Ok(match asks {
            Asks::Each(each) => (Checked::Each(each, parts), given(each, item, of_predicate)),
            Asks::Reduce => (Checked::Reduce(parts, third(Type::Any)?), of_predicate),
            Asks::SortBy => (Checked::SortBy(parts, third(Type::Str)?), Type::list(item)),
        })
    }

    fn predicate(&mut self, asks: Asks, node: &Node) -> Outcome {
        let (checked, kind) = self.node(node)?;
        let any = matches!(
            asks,
            Asks::Each(Each::GroupBy | Each::Map | Each::Sum) | Asks::Reduce | Asks::SortBy
        );
        if !any && !kind.may_be(&Type::Bool) {
            let message = format!("{kind} where bool is wanted");
            return Err(ExprError::at(node.place, message));
        }
        Ok((checked, kind))
    }
}

/// What a function gives that asks a predicate about items.
fn given(each: Each, item: Type, of_predicate: Type) -> Type {
    match each {
        Each::All | Each::Any | Each::None | Each::One => Type::Bool,
        Each::Count | Each::FindIndex | Each::FindLastIndex => Type::Int,
        Each::Filter => Type::list(item),
        Each::Find | Each::FindLast => item,
        Each::GroupBy => Type::MapOf(Box::new(Type::list(item))),
        Each::Map => Type::list(of_predicate),
        Each::Sum => of_predicate,
    }
}

fn counted(place: usize, name: &str, args: &[Node], least: usize, most: usize) -> Result<(), ExprError> {
    let message = match args.len() {
        given if given < least => format!("not enough arguments to call `{name}`"),
        given if given > most => format!("too many arguments to call `{name}`"),
        _ => return Ok(()),
    };
    Err(ExprError::at(place, message))
}

/// A network that stands in the expression is read now; one that is none makes every evaluation fail, as in CoreDNS.
fn within(parts: [Checked; 2]) -> Checked {
    if let [
        Checked::Tell(Field::ClientIp),
        Checked::Constant(Value::Str(network)),
    ] = &parts
        && let Ok(network) = network.parse::<IpNet>()
    {
        return Checked::ClientWithin(network);
    }
    Checked::Within(Box::new(parts))
}

/// The functions that tell something of the query.
pub(super) fn of_query() -> impl Iterator<Item = &'static str> {
    let fields = FIELDS.iter().map(|(name, ..)| *name);
    fields.chain(["incidr", "metadata"])
}

fn known() -> impl Iterator<Item = &'static str> {
    of_query()
        .chain(BUILTINS.iter().map(|known| known.name))
        .chain(ASKS.iter().map(|(name, ..)| *name))
}

/// Whether a function has this name.
pub(super) fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

pub(super) fn unknown(place: usize, name: &str) -> ExprError {
    let near = catena_core::corefile::nearest(name, known());
    let advice = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
    ExprError::at(place, format!("unknown name `{name}`{advice}"))
}
