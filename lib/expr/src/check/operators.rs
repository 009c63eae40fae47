//! Checks operators and what they work on.

use regex::Regex;

use super::calls::of_query;
use super::{Checked, Checker, ENV, Outcome, too_large};
use crate::ExprError;
use crate::kind::Type;
use crate::tree::{Kind, Node, Sign};
use crate::value::Value;

impl Checker {
    pub(super) fn unary(&mut self, place: usize, sign: Sign, operand: &Node) -> Outcome {
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

    pub(super) fn binary(&mut self, place: usize, sign: Sign, operands: &[Node; 2]) -> Outcome {
        let (left, of_left) = self.node(&operands[0])?;
        let in_env = sign == Sign::In && matches!(&operands[1].kind, Kind::Name(name) if name == ENV);
        let (right, of_right) = if in_env {
            let names = Value::list(of_query().map(Value::text_of).collect());
            let names = names.ok_or_else(|| too_large(place))?;
            (Checked::Constant(names), Type::list(Type::Str))
        } else {
            self.node(&operands[1])?
        };
        let Some(kind) = result(sign, &of_left, &of_right) else {
            return Err(ExprError::at(
                place,
                format!("mismatched types {of_left} and {of_right}"),
            ));
        };
        if sign == Sign::Matches
            && let Checked::Constant(Value::Str(pattern)) = &right
        {
            let pattern = Regex::new(pattern).map_err(|error| {
                let error = error.to_string();
                let cause = error.lines().last().unwrap_or_default();
                let cause = cause.trim_start_matches("error: ");
                ExprError::at(operands[1].place, format!("bad regular expression: {cause}"))
            })?;
            return Ok((Checked::Fits(Box::new(left), pattern), Type::Bool));
        }
        Ok((Checked::Binary(sign, Box::new([left, right])), kind))
    }
}

/// The type of what an operator gives; none if it does not work on the two.
fn result(sign: Sign, left: &Type, right: &Type) -> Option<Type> {
    let both = |kind: &Type| left.may_be(kind) && right.may_be(kind);
    let numbers = left.may_be_number() && right.may_be_number();
    let (fine, kind) = match sign {
        Sign::Or | Sign::And => (both(&Type::Bool), Type::Bool),
        Sign::Equal | Sign::NotEqual => (left.compares(right), Type::Bool),
        Sign::Less | Sign::LessOrEqual | Sign::Greater | Sign::GreaterOrEqual => (
            numbers || both(&Type::Str) || both(&Type::Date) || both(&Type::Duration),
            Type::Bool,
        ),
        Sign::In => (
            match right {
                Type::List(item) => left.compares(item),
                Type::Map => left.may_be(&Type::Str),
                Type::Str => *left == Type::Any,
                kind => kind.is_map() || *kind == Type::Any,
            },
            Type::Bool,
        ),
        Sign::Matches | Sign::Contains | Sign::StartsWith | Sign::EndsWith => (both(&Type::Str), Type::Bool),
        Sign::Range => (both(&Type::Int), Type::list(Type::Int)),
        Sign::Plus | Sign::Minus | Sign::Times => return arithmetic(sign, left, right),
        Sign::Modulo => (both(&Type::Int), Type::Int),
        Sign::Divide | Sign::Power => (numbers, Type::Float),
        Sign::Coalesce => (true, left.clone().either(right.clone())),
        Sign::Not => (false, Type::Bool),
    };
    fine.then_some(kind)
}

/// The type of a sum, a difference or a product of numbers, text, dates and durations.
fn arithmetic(sign: Sign, left: &Type, right: &Type) -> Option<Type> {
    const DATES: &[(Sign, Type, Type, Type)] = &[
        (Sign::Plus, Type::Str, Type::Str, Type::Str),
        (Sign::Plus, Type::Date, Type::Duration, Type::Date),
        (Sign::Plus, Type::Duration, Type::Date, Type::Date),
        (Sign::Plus, Type::Duration, Type::Duration, Type::Duration),
        (Sign::Minus, Type::Date, Type::Date, Type::Duration),
        (Sign::Minus, Type::Date, Type::Duration, Type::Date),
        (Sign::Minus, Type::Duration, Type::Duration, Type::Duration),
        (Sign::Times, Type::Duration, Type::Duration, Type::Duration),
        (Sign::Times, Type::Duration, Type::Int, Type::Duration),
        (Sign::Times, Type::Duration, Type::Float, Type::Duration),
        (Sign::Times, Type::Int, Type::Duration, Type::Duration),
        (Sign::Times, Type::Float, Type::Duration, Type::Duration),
    ];
    let mut fitting = DATES
        .iter()
        .filter(|(of, one, other, _)| *of == sign && left.may_be(one) && right.may_be(other));
    let numbers = left.may_be_number() && right.may_be_number();
    if *left == Type::Any || *right == Type::Any {
        return (numbers || fitting.next().is_some()).then_some(Type::Any);
    }
    if *left == Type::Int && *right == Type::Int {
        return Some(Type::Int);
    }
    if numbers {
        return Some(Type::Float);
    }
    fitting.next().map(|(.., kind)| kind.clone())
}
