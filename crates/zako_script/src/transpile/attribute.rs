//! Where in a source a call says something: the place of one attribute's value in the object that a call was given.
//!
//! Looked for only when there is something to tell of it, so that nothing of it is kept.

use oxc::allocator::Allocator;
use oxc::ast::ast::{
    Argument, CallExpression, Expression, ImportDeclaration, ObjectPropertyKind, StringLiteral,
    TemplateLiteral,
};
use oxc::ast_visit::{Visit, walk};
use oxc::parser::Parser;
use oxc::span::{GetSpan, SourceType, Span};

use super::lower::ByteSpan;
use crate::error::Lines;

/// One step from a call's object to a value in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeStep {
    /// The property of that name.
    Key(String),
    /// The nth item.
    Index(usize),
    /// The name itself of that property, and not its value: the last step.
    Name(String),
    /// The first string in there that says this: the last step.
    Text(String),
}

/// The value at `path` in the first argument of the call at `line` and `column`, or the nearest value around it that is written
/// there. Recurses as deep as the source nests.
pub(super) fn find(
    source: &str,
    (line, column): (u32, u32),
    path: &[AttributeStep],
) -> Option<ByteSpan> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts().with_module(true)).parse();
    let mut finder = Finder {
        lines: Lines::of(source),
        at: (line, column),
        path,
        found: None,
    };
    finder.visit_program(&parsed.program);
    finder.found.map(ByteSpan::from)
}

struct Finder<'s> {
    lines: Lines<'s>,
    at: (u32, u32),
    path: &'s [AttributeStep],
    found: Option<Span>,
}

impl<'a> Visit<'a> for Finder<'_> {
    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        // Where V8 says that a call is.
        let callee = match &call.callee {
            Expression::StaticMemberExpression(member) => member.property.span,
            other => other.span(),
        };
        let place = self
            .lines
            .place("", callee.start as usize, callee.start as usize);
        if (place.line, place.column) == self.at
            && let Some(argument) = call.arguments.first().and_then(Argument::as_expression)
        {
            self.found = value(argument, self.path);
        }
        walk::walk_call_expression(self, call);
    }
}

/// The place of what `path` leads to; as far as it is written out.
fn value(expression: &Expression<'_>, path: &[AttributeStep]) -> Option<Span> {
    let mut at = expression.get_inner_expression();
    let mut found = None;
    for step in path {
        if let (AttributeStep::Name(name), Expression::ObjectExpression(object)) = (step, at) {
            let named = object.properties.iter().find_map(|p| match p {
                ObjectPropertyKind::ObjectProperty(property)
                    if property.key.static_name().as_deref() == Some(name) =>
                {
                    Some(property.key.span())
                }
                _ => None,
            });
            return named.or(found);
        }
        if let AttributeStep::Text(text) = step {
            let mut saying = Saying {
                text,
                found: None,
                count: 0,
            };
            saying.visit_expression(at);
            return saying.found.or(found);
        }
        let next = match (step, at) {
            (AttributeStep::Key(key), Expression::ObjectExpression(object)) => {
                object.properties.iter().rev().find_map(|p| match p {
                    ObjectPropertyKind::ObjectProperty(property)
                        if property.key.static_name().as_deref() == Some(key) =>
                    {
                        Some(&property.value)
                    }
                    _ => None,
                })
            }
            (AttributeStep::Index(index), Expression::ArrayExpression(list)) => {
                // What stands behind a spread is at no number of its own.
                let before = &list.elements[..list.elements.len().min(index + 1)];
                match before.iter().any(|item| item.is_spread()) {
                    true => None,
                    false => list
                        .elements
                        .get(*index)
                        .and_then(|item| item.as_expression()),
                }
            }
            _ => None,
        };
        let Some(next) = next else { break };
        found = Some(next.span());
        at = next.get_inner_expression();
    }
    found
}

/// The only string in `source` that says `text`; `None` when there are several. Names of modules do not count.
pub(super) fn find_text(source: &str, text: &str) -> Option<ByteSpan> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, SourceType::ts().with_module(true)).parse();
    let mut saying = Saying {
        text,
        found: None,
        count: 0,
    };
    saying.visit_program(&parsed.program);
    saying
        .found
        .filter(|_| saying.count == 1)
        .map(ByteSpan::from)
}

/// Looks for a string.
struct Saying<'s> {
    text: &'s str,
    /// The first.
    found: Option<Span>,
    count: usize,
}

impl Saying<'_> {
    fn see(&mut self, text: &str, span: Span) {
        if text == self.text {
            self.found.get_or_insert(span);
            self.count += 1;
        }
    }
}

impl<'a> Visit<'a> for Saying<'_> {
    fn visit_string_literal(&mut self, literal: &StringLiteral<'a>) {
        self.see(&literal.value, literal.span);
    }

    fn visit_template_literal(&mut self, literal: &TemplateLiteral<'a>) {
        if let ([only], []) = (&literal.quasis[..], &literal.expressions[..])
            && let Some(text) = &only.value.cooked
        {
            self.see(text, literal.span);
        }
        walk::walk_template_literal(self, literal);
    }

    fn visit_import_declaration(&mut self, _: &ImportDeclaration<'a>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'s>(source: &'s str, at: (u32, u32), path: &[AttributeStep]) -> Option<&'s str> {
        let span = find(source, at, path)?;
        source.get(span.start as usize..span.end as usize)
    }

    #[test]
    fn a_text_is_found_when_it_stands_there_once() {
        let source =
            "import { x } from \"x.c\";\nconst a = [`x.c`, \"y.c\", `${a}y.c`, \"z.c\", 'z.c'];\n";
        let found = |text: &str| {
            let span = find_text(source, text)?;
            source.get(span.start as usize..span.end as usize)
        };
        assert_eq!(found("x.c"), Some("`x.c`"));
        assert_eq!(found("y.c"), Some("\"y.c\""));
        assert_eq!((found("z.c"), found("w.c")), (None, None));
    }

    #[test]
    fn values_are_found_in_their_call() {
        let key = |key: &str| AttributeStep::Key(key.to_owned());
        let source = "export const a = lib({ srcs: [\"x\", y], \"deps\": [...z, w] } as any);\n\
                      f(cc.lib({ srcs: g({ srcs: 1 }) }));\n";
        assert_eq!(found(source, (1, 18), &[key("srcs")]), Some("[\"x\", y]"));
        let second = [key("srcs"), AttributeStep::Index(1)];
        assert_eq!(found(source, (1, 18), &second), Some("y"));
        // Behind a spread nobody knows which it is.
        let spread = [key("deps"), AttributeStep::Index(1)];
        assert_eq!(found(source, (1, 18), &spread), Some("[...z, w]"));
        assert_eq!(
            found(source, (2, 6), &[key("srcs")]),
            Some("g({ srcs: 1 })")
        );
        assert_eq!(found(source, (2, 18), &[key("srcs")]), Some("1"));
        let name = |name: &str| AttributeStep::Name(name.to_owned());
        assert_eq!(found(source, (1, 18), &[name("deps")]), Some("\"deps\""));
        assert_eq!(
            found(source, (2, 6), &[key("srcs"), name("no")]),
            Some("g({ srcs: 1 })")
        );
        assert_eq!(found(source, (1, 18), &[name("other")]), None);
        let text = |text: &str| AttributeStep::Text(text.to_owned());
        assert_eq!(found(source, (1, 18), &[text("x")]), Some("\"x\""));
        assert_eq!(found(source, (1, 18), &[text("y")]), None);
        assert_eq!(found(source, (1, 18), &[key("other")]), None);
        assert_eq!(found(source, (9, 9), &[key("srcs")]), None);
    }
}
