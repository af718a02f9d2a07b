//! `explain`: what an error code means and what to do, from the catalogue and its help page; and the pages of topics. Needs no agent and no network.

use clap::Args;
use serde_json::json;
use waybill_shared::error::{Category, Code, ErrorReport, Exit};
use waybill_shared::help;

use super::output;

/// Characters of a line.
const WIDTH: usize = 100;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Such as WB5002 or 5002, or a topic such as archive; without it all are listed
    code: Option<String>,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &ExplainArgs) -> Result<Exit, ErrorReport> {
    let Some(text) = &args.code else {
        list(args.json);
        return Ok(Exit::Ok);
    };
    if let Some(page) = help::topic(text.trim()) {
        if args.json {
            output::json(&json!({ "topic": text.trim().to_lowercase(), "page": page }));
        } else {
            output::line(&rendered_topic(page));
        }
        return Ok(Exit::Ok);
    }
    let code = parse(text).ok_or_else(|| unknown(text))?;
    if args.json {
        let mut entry = entry(code);
        entry["page"] = help::page(code).into();
        output::json(&entry);
    } else {
        output::line(&rendered(code));
    }
    Ok(Exit::Ok)
}

fn parse(text: &str) -> Option<Code> {
    let text = text.trim();
    text.parse().or_else(|_| format!("WB{text}").parse()).ok()
}

fn list(as_json: bool) {
    if as_json {
        return output::json(&Code::ALL.iter().map(|code| entry(*code)).collect::<Vec<_>>());
    }
    let rows: Vec<Vec<String>> =
        Code::ALL.iter().map(|code| vec![code.to_string(), category(*code).to_owned(), code.meaning().to_owned()]).collect();
    output::table(&["CODE", "ABOUT", "MEANING"], &rows);
    let topics: Vec<&str> = help::TOPICS.iter().map(|(topic, _)| *topic).collect();
    output::line(&format!("\nTopics: {}", topics.join(", ")));
}

/// The catalogue's entry.
fn entry(code: Code) -> serde_json::Value {
    json!({
        "code": code,
        "meaning": code.meaning(),
        "category": code.category(),
        "exit_code": code.exit() as u8,
        "http_status": code.http_status(),
        "fix": code.fix(),
    })
}

fn category(code: Code) -> &'static str {
    match code.category() {
        Category::Configuration => "configuration",
        Category::Input => "input file",
        Category::Station => "this machine",
        Category::Destination => "destination",
        Category::Communication => "between the programs",
        Category::Internal => "Waybill itself",
    }
}

/// The entry and the page for a terminal.
fn rendered(code: Code) -> String {
    let title = format!("{code}: {}", code.meaning());
    let line = "=".repeat(title.chars().count());
    let facts =
        format!("About: {}. A command ends with {}; over HTTP it is {}.", category(code), code.exit() as u8, code.http_status());
    let mut text = format!("{title}\n{line}\n{facts}\n");
    wrap(&mut text, "In short: ", "          ", code.fix());
    body(&mut text, help::page(code));
    text
}

/// The page of a topic for a terminal.
fn rendered_topic(page: &str) -> String {
    let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
    let mut text = format!("{title}\n{}\n", "=".repeat(title.chars().count()));
    body(&mut text, page);
    text
}

/// What stands under the title.
fn body(text: &mut String, page: &str) {
    for block in blocks(page) {
        match block {
            // Told above; of a code, `shared::help` proves that it is the same.
            Block::Title => {}
            Block::Heading(heading) => text.push_str(&format!("\n{heading}\n{}\n", "-".repeat(heading.chars().count()))),
            Block::Bullet(bullet) => wrap(text, "  * ", "    ", &bullet),
            Block::Paragraph(paragraph) => wrap(text, "", "", &paragraph),
        }
    }
    text.truncate(text.trim_end().len());
}

/// The pieces that a help page is made of.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Title,
    Heading(String),
    Bullet(String),
    Paragraph(String),
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut goes_on = false;
    for line in page.lines().map(str::trim) {
        if line.is_empty() {
            goes_on = false;
        } else if let Some(heading) = line.strip_prefix("## ") {
            blocks.push(Block::Heading(heading.to_owned()));
            goes_on = false;
        } else if line.starts_with("# ") {
            blocks.push(Block::Title);
            goes_on = false;
        } else if let Some(bullet) = line.strip_prefix("- ") {
            blocks.push(Block::Bullet(bullet.to_owned()));
            goes_on = true;
        } else {
            match blocks.last_mut() {
                Some(Block::Bullet(text) | Block::Paragraph(text)) if goes_on => {
                    text.push(' ');
                    text.push_str(line);
                }
                _ => blocks.push(Block::Paragraph(line.to_owned())),
            }
            goes_on = true;
        }
    }
    blocks
}

/// Adds a text in lines of [`WIDTH`], the first one after `first`, the others after `then`.
fn wrap(out: &mut String, first: &str, then: &str, text: &str) {
    let mut width = first.chars().count();
    let mut begun = false;
    out.push_str(first);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if begun && width + 1 + length > WIDTH {
            out.push('\n');
            out.push_str(then);
            width = then.chars().count();
        } else if begun {
            out.push(' ');
            width += 1;
        }
        out.push_str(word);
        width += length;
        begun = true;
    }
    out.push('\n');
}

fn unknown(text: &str) -> ErrorReport {
    let near: Vec<String> = nearest(text).into_iter().map(|code| format!("{code} ({})", code.meaning())).collect();
    let all: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    ErrorReport::new(Code::RequestInvalid, format!("{text:?} is no error code")).with_fix(format!(
        "Nearest: {}. All codes: {}",
        near.join(", "),
        all.join(", ")
    ))
}

/// Codes that may be meant: those that speak of the word, or those with a similar number.
fn nearest(text: &str) -> Vec<Code> {
    let digits: String = text.chars().filter(char::is_ascii_digit).take(9).collect();
    let word = text.trim().to_lowercase();
    let mut codes = Code::ALL.to_vec();
    match digits.parse::<u32>() {
        Err(_) if !word.is_empty() && codes.iter().any(|code| code.meaning().to_lowercase().contains(&word)) => {
            codes.retain(|code| code.meaning().to_lowercase().contains(&word));
        }
        Err(_) => {}
        Ok(number) => codes.sort_by_key(|code| {
            let own = &code.as_str()[2..];
            let same = own.chars().zip(digits.chars()).filter(|(a, b)| a == b).count();
            (usize::MAX - same, own.parse::<u32>().map_or(u32::MAX, |own| own.abs_diff(number)))
        }),
    }
    codes.truncate(3);
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_as_people_write_it() {
        for text in ["WB5002", "wb5002", "5002", " Wb5002 "] {
            assert_eq!(parse(text), Some(Code::DestinationUnauthorised), "{text}");
        }
        for text in ["", "WB", "WB500", "WBWB5002", "50020"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_nearest_codes_are_offered() {
        assert!(nearest("WB7009")[..2].iter().all(|code| code.as_str().starts_with("WB70")));
        assert_eq!(nearest("token")[0], Code::DestinationUnauthorised);
        assert_eq!(nearest("nonsense").len(), 3);
        assert_eq!(nearest("").len(), 3);
    }

    #[test]
    fn every_page_is_shown_whole_in_lines_that_fit() {
        let codes = Code::ALL.iter().map(|&code| {
            let text = rendered(code);
            assert!(text.starts_with(&format!("{code}: {}\n", code.meaning())), "{code}");
            (code.to_string(), help::page(code), text)
        });
        let topics = help::TOPICS.iter().map(|&(topic, page)| {
            let text = rendered_topic(page);
            assert_eq!(text.lines().next(), page.lines().next().and_then(|line| line.strip_prefix("# ")), "{topic}");
            (topic.to_owned(), page, text)
        });
        for (code, page, text) in codes.chain(topics) {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let shown = words(&text);
            for block in blocks(page) {
                let (Block::Heading(part) | Block::Bullet(part) | Block::Paragraph(part)) = block else { continue };
                let part = words(&part);
                assert!(shown.windows(part.len()).any(|window| window == part), "{code}: {part:?} is not shown");
            }
            let long = text.lines().find(|line| line.chars().count() > WIDTH && line.trim().contains(' '));
            assert_eq!(long, None, "{code}");
        }
    }

    #[test]
    fn lines_of_a_page_are_joined_where_they_belong_together() {
        let page = "# T\n\n## H\none\ntwo\n\nthree\n- a\n  b\n- c\n";
        let paragraph = |text: &str| Block::Paragraph(text.to_owned());
        let bullet = |text: &str| Block::Bullet(text.to_owned());
        let heading = Block::Heading("H".to_owned());
        assert_eq!(blocks(page), [Block::Title, heading, paragraph("one two"), paragraph("three"), bullet("a b"), bullet("c")]);
    }
}
