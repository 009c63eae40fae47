//! Checks a tree: names, numbers of arguments, types. What comes out is ready to be evaluated.

use std::borrow::Cow;

use ipnet::IpNet;
use regex::Regex;

use crate::ExprError;
use crate::builtin::{BUILTINS, Builtin, Signature};
use crate::parse::{Kind, Node, Sign};
use crate::query::{FIELDS, Field};
use crate::value::{Type, Value};

/// A checked part of the tree.
#[derive(Debug)]
pub(crate) enum Checked {
    Constant(Value<'static>),
    /// The item that a predicate is asked about.
    Item,
    Tell(Field),
    Metadata(Box<Self>),
    /// The client's address, in a network that was read beforehand.
    ClientWithin(IpNet),
    Within(Box<[Self; 2]>),
    Call(Builtin, Vec<Self>),
    /// A function with a predicate.
    Each(Each, Box<[Self; 2]>),
    List(Vec<Self>),
    Not(Box<Self>),
    Negative(Box<Self>),
    /// A text that matches a pattern which was read beforehand.
    Fits(Box<Self>, Regex),
    Binary(Sign, Box<[Self; 2]>),
    Choice(Box<[Self; 3]>),
    Index(Box<[Self; 2]>),
    Slice(Box<Self>, Option<Box<Self>>, Option<Box<Self>>),
}

/// Functions that ask a predicate about each item of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    All,
    Any,
    Count,
    Filter,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    Map,
    None,
    One,
}

const EACH: &[(&str, Each)] = &[
    ("all", Each::All),
    ("any", Each::Any),
    ("count", Each::Count),
    ("filter", Each::Filter),
    ("find", Each::Find),
    ("findIndex", Each::FindIndex),
    ("findLast", Each::FindLast),
    ("findLastIndex", Each::FindLastIndex),
    ("map", Each::Map),
    ("none", Each::None),
    ("one", Each::One),
];

/// Checks a whole expression.
pub(crate) fn check(node: &Node) -> Result<(Checked, Type), ExprError> {
    Checker { items: Vec::new() }.node(node)
}

struct Checker {
    /// The types of the items that predicates around are asked about.
    items: Vec<Type>,
}

type Outcome = Result<(Checked, Type), ExprError>;

impl Checker {
    fn node(&mut self, node: &Node) -> Outcome {
        let constant = |value, kind| Ok((Checked::Constant(value), kind));
        match &node.kind {
            Kind::Nil => constant(Value::Nil, Type::Nil),
            Kind::Bool(value) => constant(Value::Bool(*value), Type::Bool),
            Kind::Int(value) => constant(Value::Int(*value), Type::Int),
            Kind::Float(value) => constant(Value::Float(*value), Type::Float),
            Kind::Str(text) => constant(Value::Str(Cow::Owned(text.clone())), Type::Str),
            Kind::List(nodes) => self.list(nodes),
            Kind::Item => match self.items.last() {
                Some(kind) => Ok((Checked::Item, kind.clone())),
                None => Err(ExprError::at(node.place, "`#` outside of a predicate")),
            },
            Kind::Name(name) => Err(unknown(node.place, name)),
            Kind::Call { name, args } => self.call(node.place, name, args),
            Kind::Unary { sign, operand } => self.unary(node.place, *sign, operand),
            Kind::Binary { sign, operands } => self.binary(node.place, *sign, operands),
            Kind::Choice { parts } => self.choice(parts),
            Kind::Index { parts } => self.index(node.place, parts),
            Kind::Slice { list, from, to } => {
                let (checked, kind) = self.node(list)?;
                if !matches!(kind, Type::Any | Type::Str | Type::List(_)) {
                    return Err(ExprError::at(node.place, format!("cannot slice {kind}")));
                }
                let mut end = |end: &Option<Box<Node>>| {
                    end.as_ref()
                        .map(|end| self.of_type(end, &Type::Int).map(Box::new))
                        .transpose()
                };
                Ok((Checked::Slice(Box::new(checked), end(from)?, end(to)?), kind))
            }
        }
    }

    /// A node that must be of a type.
    fn of_type(&mut self, node: &Node, wanted: &Type) -> Result<Checked, ExprError> {
        let (checked, kind) = self.node(node)?;
        if !kind.may_be(wanted) {
            return Err(ExprError::at(
                node.place,
                format!("{kind} where {wanted} is wanted"),
            ));
        }
        Ok(checked)
    }

    fn list(&mut self, nodes: &[Node]) -> Outcome {
        let mut items = Vec::with_capacity(nodes.len());
        let mut kind: Option<Type> = None;
        for node in nodes {
            let (item, of) = self.node(node)?;
            kind = match kind {
                None => Some(of),
                Some(kind) if kind == of => Some(kind),
                Some(_) => Some(Type::Any),
            };
            items.push(item);
        }
        let kind = Type::list(kind.unwrap_or(Type::Any));
        let values: Option<Vec<Value<'static>>> = items.iter().map(Checked::constant).collect();
        Ok((
            match values {
                Some(values) => Checked::Constant(Value::List(Cow::Owned(values))),
                None => Checked::List(items),
            },
            kind,
        ))
    }

    fn call(&mut self, place: usize, name: &str, args: &[Node]) -> Outcome {
        let counted = |least: usize, most: usize| match args.len() {
            given if given < least => Err(ExprError::at(
                place,
                format!("not enough arguments to call `{name}`"),
            )),
            given if given > most => Err(ExprError::at(
                place,
                format!("too many arguments to call `{name}`"),
            )),
            _ => Ok(()),
        };
        if let Some((_, field, kind)) = FIELDS.iter().find(|(known, ..)| *known == name) {
            counted(0, 0)?;
            return Ok((Checked::Tell(*field), kind.clone()));
        }
        match name {
            "metadata" => {
                counted(1, 1)?;
                let label = self.of_type(&args[0], &Type::Str)?;
                return Ok((Checked::Metadata(Box::new(label)), Type::Str));
            }
            "incidr" => {
                counted(2, 2)?;
                let parts = [
                    self.of_type(&args[0], &Type::Str)?,
                    self.of_type(&args[1], &Type::Str)?,
                ];
                return Ok((within(parts), Type::Bool));
            }
            _ => {}
        }
        if let Some((_, each)) = EACH.iter().find(|(known, _)| *known == name) {
            counted(2, 2)?;
            return self.each(*each, &args[0], &args[1]);
        }
        let Some(signature) = BUILTINS.iter().find(|signature| signature.name == name) else {
            return Err(unknown(place, name));
        };
        counted(signature.least, signature.most)?;
        self.builtin(signature, args)
    }

    fn builtin(&mut self, signature: &Signature, args: &[Node]) -> Outcome {
        let mut checked = Vec::with_capacity(args.len());
        let mut kinds = Vec::with_capacity(args.len());
        for (place, arg) in args.iter().enumerate() {
            let (part, kind) = self.node(arg)?;
            let wants = signature.takes.get(place).or_else(|| signature.takes.last());
            if wants.is_some_and(|wants| !wants.accepts(&kind)) {
                let message = format!(
                    "`{}` cannot take {kind} as its argument {}",
                    signature.name,
                    place + 1
                );
                return Err(ExprError::at(arg.place, message));
            }
            checked.push(part);
            kinds.push(kind);
        }
        Ok((
            Checked::Call(signature.builtin, checked),
            signature.builtin.gives(&kinds),
        ))
    }

    fn each(&mut self, each: Each, list: &Node, predicate: &Node) -> Outcome {
        let (items, kind) = self.node(list)?;
        let item = match kind {
            Type::List(item) => *item,
            Type::Any => Type::Any,
            kind => {
                return Err(ExprError::at(
                    list.place,
                    format!("{kind} where an array is wanted"),
                ));
            }
        };
        self.items.push(item.clone());
        let predicate_checked = if each == Each::Map {
            self.node(predicate)
        } else {
            self.of_type(predicate, &Type::Bool)
                .map(|checked| (checked, Type::Bool))
        };
        self.items.pop();
        let (predicate, mapped) = predicate_checked?;
        let kind = match each {
            Each::All | Each::Any | Each::None | Each::One => Type::Bool,
            Each::Count | Each::FindIndex | Each::FindLastIndex => Type::Int,
            Each::Filter => Type::list(item),
            Each::Find | Each::FindLast => item,
            Each::Map => Type::list(mapped),
        };
        Ok((Checked::Each(each, Box::new([items, predicate])), kind))
    }

    fn unary(&mut self, place: usize, sign: Sign, operand: &Node) -> Outcome {
        if sign == Sign::Not {
            let operand = self.of_type(operand, &Type::Bool)?;
            return Ok((Checked::Not(Box::new(operand)), Type::Bool));
        }
        let (checked, kind) = self.node(operand)?;
        if !kind.may_be_number() {
            return Err(ExprError::at(place, format!("a sign before {kind}")));
        }
        Ok((
            if sign == Sign::Minus {
                Checked::Negative(Box::new(checked))
            } else {
                checked
            },
            kind,
        ))
    }

    fn binary(&mut self, place: usize, sign: Sign, operands: &[Node; 2]) -> Outcome {
        let (left, of_left) = self.node(&operands[0])?;
        let (right, of_right) = self.node(&operands[1])?;
        let text = |kind: &Type| kind.may_be(&Type::Str);
        let numbers = of_left.may_be_number() && of_right.may_be_number();
        let texts = text(&of_left) && text(&of_right);
        let whole = of_left.may_be(&Type::Int) && of_right.may_be(&Type::Int);
        let number = if of_left == Type::Int && of_right == Type::Int {
            Type::Int
        } else if of_left == Type::Any || of_right == Type::Any {
            Type::Any
        } else {
            Type::Float
        };
        let (fine, kind) = match sign {
            Sign::Or | Sign::And => (
                of_left.may_be(&Type::Bool) && of_right.may_be(&Type::Bool),
                Type::Bool,
            ),
            Sign::Equal | Sign::NotEqual => (of_left.compares(&of_right), Type::Bool),
            Sign::Less | Sign::LessOrEqual | Sign::Greater | Sign::GreaterOrEqual => {
                (numbers || texts, Type::Bool)
            }
            Sign::In => (
                match &of_right {
                    Type::List(item) => of_left.compares(item),
                    kind => *kind == Type::Any,
                },
                Type::Bool,
            ),
            Sign::Matches | Sign::Contains | Sign::StartsWith | Sign::EndsWith => (texts, Type::Bool),
            Sign::Range => (whole, Type::list(Type::Int)),
            Sign::Plus if texts && !numbers => (true, Type::Str),
            Sign::Plus => (numbers || texts, number),
            Sign::Minus | Sign::Times => (numbers, number),
            Sign::Modulo => (whole, Type::Int),
            Sign::Divide | Sign::Power => (numbers, Type::Float),
            Sign::Coalesce => (
                true,
                if of_left == of_right {
                    of_left.clone()
                } else {
                    Type::Any
                },
            ),
            Sign::Not => (false, Type::Bool),
        };
        if !fine {
            return Err(ExprError::at(
                place,
                format!("mismatched types {of_left} and {of_right}"),
            ));
        }
        if sign == Sign::Matches
            && let Checked::Constant(Value::Str(pattern)) = &right
        {
            let pattern = Regex::new(pattern).map_err(|error| {
                let error = error.to_string();
                let cause = error
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ");
                ExprError::at(operands[1].place, format!("bad regular expression: {cause}"))
            })?;
            return Ok((Checked::Fits(Box::new(left), pattern), Type::Bool));
        }
        Ok((Checked::Binary(sign, Box::new([left, right])), kind))
    }

    fn choice(&mut self, parts: &[Node; 3]) -> Outcome {
        let (condition, of_condition) = self.node(&parts[0])?;
        let (then, of_then) = self.node(&parts[1])?;
        let (otherwise, of_otherwise) = self.node(&parts[2])?;
        if !of_condition.may_be(&Type::Bool) {
            return Err(ExprError::at(
                parts[0].place,
                format!("{of_condition} where bool is wanted"),
            ));
        }
        let kind = if of_then == of_otherwise {
            of_then
        } else {
            Type::Any
        };
        Ok((Checked::Choice(Box::new([condition, then, otherwise])), kind))
    }

    fn index(&mut self, place: usize, parts: &[Node; 2]) -> Outcome {
        let (list, kind) = self.node(&parts[0])?;
        let kind = match kind {
            Type::List(item) => *item,
            Type::Str => Type::Str,
            Type::Any => Type::Any,
            kind => return Err(ExprError::at(place, format!("{kind} has no index"))),
        };
        let index = self.of_type(&parts[1], &Type::Int)?;
        Ok((Checked::Index(Box::new([list, index])), kind))
    }
}

impl Checked {
    fn constant(&self) -> Option<Value<'static>> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            _ => None,
        }
    }
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

fn unknown(place: usize, name: &str) -> ExprError {
    let functions = FIELDS
        .iter()
        .map(|(name, ..)| *name)
        .chain(["incidr", "metadata"]);
    let known = functions
        .chain(BUILTINS.iter().map(|known| known.name))
        .chain(EACH.iter().map(|(name, _)| *name));
    let near = catena_core::corefile::nearest(name, known);
    let advice = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
    ExprError::at(place, format!("unknown name `{name}`{advice}"))
}
