//! Errors and warnings as text: what happened, where with a code frame, why, what to do.
//!
//! Only this module knows miette. It must never know why an error came about: it has the [`Diagnostic`] and nothing else.
//! **Invariant:** the place in the text is the [`Location`]'s own, in characters, whatever bytes the source has.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use zako_core::{Diagnostic, Fault, Location, Severity};

/// A minified line is not shown beyond this many bytes: its frame would hide the message.
const MAX_FRAME_LINE: usize = 400;

/// Columns that a tab takes in a frame.
const TAB_WIDTH: usize = 4;

/// Makes text of diagnostics.
#[derive(Clone)]
pub(crate) struct Renderer {
    handler: GraphicalReportHandler,
    characters: ThemeCharacters,
    styles: ThemeStyles,
}

impl Renderer {
    /// With colours or without, drawn with line characters for a terminal of `width` columns or in ASCII for a file.
    pub(crate) fn new(color: bool, drawn: bool, width: usize) -> Renderer {
        let characters = ThemeCharacters {
            error: "error:".to_owned(),
            warning: "warning:".to_owned(),
            advice: "note:".to_owned(),
            ..if drawn {
                ThemeCharacters::unicode()
            } else {
                ThemeCharacters::ascii()
            }
        };
        let styles = if color {
            ThemeStyles::ansi()
        } else {
            ThemeStyles::none()
        };
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme {
            characters: characters.clone(),
            styles: styles.clone(),
        })
        .with_links(false)
        .with_width(width)
        .with_wrap_lines(false)
        .with_context_lines(1)
        .tab_width(TAB_WIDTH)
        .without_cause_chain();
        Renderer {
            handler,
            characters,
            styles,
        }
    }

    /// The diagnostic as lines, each ended.
    pub(crate) fn render(&self, diagnostic: &Diagnostic) -> String {
        let mut text = self.head(diagnostic);
        if let Some(output) = &diagnostic.output {
            push_lines(&mut text, "", output);
        }
        for line in &diagnostic.trace {
            push_lines(&mut text, "  ", line);
        }
        let advice = match (&diagnostic.help, diagnostic.fault) {
            (Some(help), _) => Some(help.as_str()),
            (None, Fault::Bug) => Some("this is a bug in zako; please report it with these lines"),
            (None, _) => None,
        };
        if let Some(advice) = advice {
            let label = self.styles.help.style("help:");
            push_lines(
                &mut text,
                "  ",
                &format!("{label} {}", advice.replace('\n', "\n      ")),
            );
        }
        text
    }

    /// What happened and where.
    fn head(&self, diagnostic: &Diagnostic) -> String {
        let frame = diagnostic.location.as_ref().and_then(Frame::new);
        if let Some(frame) = frame {
            let mut text = String::new();
            let shown = Framed { diagnostic, frame };
            if self.handler.render_report(&mut text, &shown).is_ok() {
                return tidy(&text);
            }
        }
        let mut text = String::new();
        let (icon, style) = match diagnostic.severity {
            Severity::Error => (&self.characters.error, self.styles.error),
            Severity::Warning => (&self.characters.warning, self.styles.warning),
            Severity::Info | Severity::Debug => (&self.characters.advice, self.styles.advice),
        };
        push_lines(
            &mut text,
            "",
            &format!("{} {}", style.style(icon), diagnostic.message),
        );
        if let Some(location) = &diagnostic.location {
            let place = location.to_string();
            push_lines(
                &mut text,
                "  ",
                &format!("at {}", self.styles.link.style(&place)),
            );
        }
        text
    }
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer").finish_non_exhaustive()
    }
}

fn push_lines(text: &mut String, indent: &str, lines: &str) {
    for line in lines.trim_end_matches('\n').split('\n') {
        if !line.is_empty() {
            text.push_str(indent);
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// miette sets a margin before the message and leaves blanks at the ends of lines.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    for (number, line) in text.trim_matches('\n').lines().enumerate() {
        let line = line.trim_end();
        tidied.push_str(if number == 0 { line.trim_start() } else { line });
        tidied.push('\n');
    }
    tidied
}

/// A place with the text around it.
#[derive(Debug)]
struct Frame<'a> {
    location: &'a Location,
    source: &'a str,
    span: SourceSpan,
}

impl<'a> Frame<'a> {
    /// `None` when there is no text, or the text has no such place (it changed since), or the line is endless.
    fn new(location: &'a Location) -> Option<Frame<'a>> {
        let source: &str = location.source.as_deref()?;
        let mut start = 0;
        for _ in 1..location.line {
            start += source[start..].find('\n')? + 1;
        }
        let line = source[start..]
            .split('\n')
            .next()
            .unwrap_or("")
            .trim_end_matches('\r');
        if line.len() > MAX_FRAME_LINE {
            return None;
        }
        let from = byte_of(line, location.column.checked_sub(1)?)?;
        // A span ends with its line at the latest.
        let to = from + byte_of(&line[from..], location.length).unwrap_or(line.len() - from);
        Some(Frame {
            location,
            source,
            span: (start + from, to - from).into(),
        })
    }
}

/// Where the character of that index starts; the end of the line is a place too.
fn byte_of(line: &str, characters: u32) -> Option<usize> {
    let ends = line.char_indices().map(|(at, _)| at).chain([line.len()]);
    ends.into_iter().nth(usize::try_from(characters).ok()?)
}

impl SourceCode for Frame<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let contents = self.source.read_span(span, before, after)?;
        // miette counts columns in bytes; this is what its header line shows.
        let column = if *span == self.span && before + after == 0 {
            usize::try_from(self.location.column).unwrap_or(usize::MAX) - 1
        } else {
            contents.column()
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.location.file.clone(),
            contents.data(),
            *contents.span(),
            contents.line(),
            column,
            contents.line_count(),
        )))
    }
}

/// What miette is given: message and frame; the rest comes after it.
#[derive(Debug)]
struct Framed<'a> {
    diagnostic: &'a Diagnostic,
    frame: Frame<'a>,
}

impl fmt::Display for Framed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Framed<'_> {}

impl miette::Diagnostic for Framed<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info | Severity::Debug => miette::Severity::Advice,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.frame)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(
            LabeledSpan::new_primary_with_span(None, self.frame.span),
        )))
    }
}

#[cfg(test)]
mod tests;
