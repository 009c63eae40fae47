//! Values and what stands right behind them: members, indices, slices.

use super::{MAX_DEPTH, Outcome, Parser, unexpected};
use crate::ExprError;
use crate::token::Token;
use crate::tree::{Kind, Node, is_reserved};

impl Parser {
    pub(super) fn primary(&mut self) -> Outcome {
        // What a predicate is asked about may be left out before a dot.
        if self.sees(".") {
            return Ok(Node {
                place: self.place(),
                kind: Kind::Pointer(String::new()),
            });
        }
        let (token, place) = self.next();
        let kind = match token {
            Token::Int(value) => Kind::Int(value),
            Token::Float(value) => Kind::Float(value),
            Token::Str(value) => Kind::Str(value),
            Token::Bytes(value) => Kind::Bytes(value),
            Token::Sign("#") => Kind::Pointer(self.pointer()),
            Token::Sign("(") => {
                let node = self.sequence()?;
                self.expect(")")?;
                return Ok(node);
            }
            Token::Sign("[") => Kind::List(self.list()?),
            Token::Sign("{") => Kind::Map(self.map()?),
            Token::Sign("::") => {
                let (token, place) = self.next();
                let Token::Word(name) = token else {
                    return Err(unexpected(&token, place));
                };
                self.expect("(")?;
                return self.call(place, name, Vec::new());
            }
            Token::Word(word) => match word.as_str() {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "nil" => Kind::Nil,
                _ if is_reserved(&word) => return Err(unexpected(&Token::Word(word), place)),
                _ if self.takes("(") => return self.call(place, word, Vec::new()),
                _ => Kind::Name(word),
            },
            token => return Err(unexpected(&token, place)),
        };
        Ok(Node { place, kind })
    }

    /// The name behind `#`; none for the item itself.
    fn pointer(&mut self) -> String {
        match self.peek() {
            Token::Word(word) if !is_reserved(word) => {
                let name = word.clone();
                self.at += 1;
                name
            }
            _ => String::new(),
        }
    }

    pub(super) fn postfix(&mut self, mut node: Node) -> Outcome {
        let mut chained = false;
        for length in 0.. {
            let place = self.place();
            if length >= MAX_DEPTH {
                return Err(ExprError::at(
                    place,
                    format!("more than {MAX_DEPTH} indices in a row"),
                ));
            }
            let optional = self.takes("?.");
            if self.takes("[") {
                // Only names go on with the chain.
                if chained {
                    node = chain(node);
                }
                chained = optional;
                node = self.index(node, place, optional)?;
            } else if optional || self.takes(".") {
                chained |= optional;
                node = self.member(node, optional)?;
            } else {
                break;
            }
        }
        Ok(if chained { chain(node) } else { node })
    }

    /// A field or a method, behind the dot.
    fn member(&mut self, base: Node, optional: bool) -> Outcome {
        let (token, place) = self.next();
        let Token::Word(name) = token else {
            return Err(unexpected(&token, place));
        };
        if self.takes("(") {
            let call = self.call(place, String::new(), vec![base])?;
            let Kind::Call { args, .. } = call.kind else {
                return Ok(call);
            };
            let kind = Kind::Method { name, args, optional };
            return Ok(Node { place, kind });
        }
        let key = Node {
            place,
            kind: Kind::Str(name),
        };
        Ok(Node {
            place,
            kind: Kind::Index {
                parts: Box::new([base, key]),
                optional,
            },
        })
    }

    /// An index or a slice, behind the bracket.
    fn index(&mut self, base: Node, place: usize, optional: bool) -> Outcome {
        let from = if self.sees(":") {
            None
        } else {
            Some(Box::new(self.expression(0)?))
        };
        let kind = if self.takes(":") {
            let to = if self.sees("]") {
                None
            } else {
                Some(Box::new(self.expression(0)?))
            };
            Kind::Slice {
                list: Box::new(base),
                from,
                to,
            }
        } else {
            match from {
                Some(index) => Kind::Index {
                    parts: Box::new([base, *index]),
                    optional,
                },
                None => return Err(unexpected(self.peek(), self.place())),
            }
        };
        self.expect("]")?;
        Ok(Node { place, kind })
    }

    /// Items between commas, up to the closing bracket.
    fn list(&mut self) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::new();
        while !self.takes("]") {
            if !nodes.is_empty() {
                self.expect(",")?;
                if self.takes("]") {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        Ok(nodes)
    }

    /// Keys and values, up to the closing brace. A key is a name, a text, a number or an expression in parentheses.
    fn map(&mut self) -> Result<Vec<Node>, ExprError> {
        let mut nodes = Vec::new();
        while !self.takes("}") {
            if !nodes.is_empty() {
                self.expect(",")?;
                if self.takes("}") {
                    break;
                }
            }
            if self.sees("(") {
                nodes.push(self.expression(0)?);
            } else {
                let (token, place) = self.next();
                let key = match token {
                    Token::Str(key) => key,
                    Token::Word(key) if !is_reserved(&key) => key,
                    Token::Int(key) => key.to_string(),
                    Token::Float(key) => key.to_string(),
                    token => return Err(unexpected(&token, place)),
                };
                nodes.push(Node {
                    place,
                    kind: Kind::Str(key),
                });
            }
            self.expect(":")?;
            nodes.push(self.expression(0)?);
        }
        Ok(nodes)
    }
}

fn chain(node: Node) -> Node {
    Node {
        place: node.place,
        kind: Kind::Chain(Box::new(node)),
    }
}
