//! What `init` needs to know: from its options, else from whoever sits at the terminal.

use std::path::{Path, PathBuf};

use waybill_shared::config::{Config, Edit};
use waybill_shared::error::{Code, ErrorReport};
use waybill_shared::fs::private;
use waybill_shared::schema::Value;
use waybill_shared::secret::{Secret, environment_variable};
use waybill_shared::text;

use super::{InitArgs, KindArg};
use crate::cli::{ask, pin};
use crate::convert::registry::Registry;

/// What is configured already.
pub(super) struct There {
    pub(super) revision: String,
    pub(super) configured: bool,
    pub(super) sources: Vec<String>,
    pub(super) destinations: Vec<String>,
}

/// All there is to know.
pub(super) struct Answers {
    station: Vec<(&'static str, String)>,
    source_name: Option<String>,
    /// The watch folder, absolute.
    pub(super) source_folder: Option<PathBuf>,
    source: Vec<(&'static str, String)>,
    pub(super) destination_name: Option<String>,
    destination: Vec<(&'static str, String)>,
    /// The token, if the agent is to keep it.
    pub(super) token: Option<Secret>,
}

impl Answers {
    /// As changes of the configuration.
    pub(super) fn edits(&self) -> Vec<Edit> {
        let set = |place: String, value: &str| Edit::Set { place, value: value.to_owned() };
        let mut edits: Vec<Edit> = self.station.iter().map(|(key, value)| set(format!("station.{key}"), value)).collect();
        for (list, name, fields) in
            [("source", &self.source_name, &self.source), ("destination", &self.destination_name, &self.destination)]
        {
            let Some(name) = name else { continue };
            edits.push(Edit::Add { list: list.to_owned(), name: name.clone() });
            edits.extend(fields.iter().map(|(key, value)| set(format!("{list}.{name}.{key}"), value)));
        }
        edits
    }

    /// The name of the token among the agent's secrets.
    pub(super) fn secret_name(&self) -> Option<String> {
        self.token.as_ref()?;
        self.destination_name.as_deref().map(secret_name)
    }
}

fn secret_name(destination: &str) -> String {
    format!("destination.{destination}.token")
}

/// Asks for what was not given. Where nobody can be asked, all options that are missing are named at once.
///
/// # Errors
/// What is missing, or cannot be read.
pub(super) fn gather(args: InitArgs, there: &There) -> Result<Answers, ErrorReport> {
    let mut asked = Asked { interactive: ask::somebody() && !args.yes, missing: Vec::new() };
    let station = if there.configured { Vec::new() } else { station(&args, &asked)? };
    // Whoever adds may add one of the two.
    let (with_source, with_destination) = parts(&args, there, &asked)?;
    let mut answers = Answers {
        station,
        source_name: None,
        source_folder: None,
        source: Vec::new(),
        destination_name: None,
        destination: Vec::new(),
        token: None,
    };
    if with_source {
        source(&mut answers, &args, there, &mut asked)?;
    }
    if with_destination {
        destination(&mut answers, &args, there, &mut asked)?;
    }
    match asked.missing.as_slice() {
        [] => Ok(answers),
        missing => {
            let message = format!("not everything was given, and nobody can be asked here: {}", missing.join(", "));
            Err(ErrorReport::new(Code::RequestInvalid, message).with_fix("Give these options as well (--help explains them)"))
        }
    }
}

/// Whom to ask.
struct Asked {
    interactive: bool,
    /// Options that nobody could be asked for.
    missing: Vec<&'static str>,
}

impl Asked {
    fn needed(&mut self, given: Option<String>, option: &'static str, question: &str) -> Result<Option<String>, ErrorReport> {
        match given {
            Some(given) => Ok(Some(given)),
            None if self.interactive => ask::needed(question).map(Some),
            None => {
                self.missing.push(option);
                Ok(None)
            }
        }
    }

    /// An answer that has a default; none if the default is as good.
    fn optional(&self, given: Option<String>, question: &str, default: &str) -> Result<Option<String>, ErrorReport> {
        match given {
            Some(given) => Ok(Some(given)),
            None if self.interactive => Ok(Some(ask::line(question, default)?).filter(|answer| answer != default)),
            None => Ok(None),
        }
    }
}

fn station(args: &InitArgs, asked: &Asked) -> Result<Vec<(&'static str, String)>, ErrorReport> {
    let usual = Config::default();
    let host = usual.identity(&[]).name;
    let (location, purpose) = (&usual.station.location, &usual.station.purpose);
    let answers = [
        ("name", asked.optional(args.station.clone(), "Name of this station", &host)?),
        ("location", asked.optional(args.location.clone(), "Where it stands", location)?),
        ("purpose", asked.optional(args.purpose.clone(), "What it is for", purpose)?),
    ];
    Ok(answers.into_iter().filter_map(|(key, answer)| Some((key, quoted(&answer?)))).collect())
}

fn parts(args: &InitArgs, there: &There, asked: &Asked) -> Result<(bool, bool), ErrorReport> {
    let source = args.source_folder.is_some();
    let destination = args.destination_kind.is_some() || args.destination_url.is_some() || args.destination_folder.is_some();
    Ok(match (there.configured, source || destination) {
        (false, _) => (true, true),
        (true, true) => (source, destination),
        (true, false) if asked.interactive => (ask::yes("Add a source?", true)?, ask::yes("Add a destination?", false)?),
        (true, false) => (true, true),
    })
}

fn source(answers: &mut Answers, args: &InitArgs, there: &There, asked: &mut Asked) -> Result<(), ErrorReport> {
    let given = args.source_folder.as_deref().map(text_of).transpose()?;
    let Some(folder) = asked.needed(given, "--source-folder", "Folder that the equipment writes its result files to")? else {
        return Ok(());
    };
    let folder = absolute(Path::new(&folder))?;
    let usual = free_name(&name_of(&folder), &there.sources);
    let name = asked.optional(args.source_name.clone(), "Name of this source", &usual)?.unwrap_or(usual);
    let patterns = match args.patterns.as_slice() {
        [] => asked.optional(None, "Which files, by name; several with spaces between them", "*")?,
        given => Some(given.join(" ")),
    };
    let names = Registry::built_in().names().join(", ");
    let converter = asked.optional(args.converter.clone(), &format!("Converter: auto, {names}"), "auto")?;
    answers.source.push(("folder", quoted(&text_of(&folder)?)));
    if let Some(patterns) = patterns {
        let given: Vec<&str> = if args.patterns.is_empty() {
            patterns.split_whitespace().collect()
        } else {
            args.patterns.iter().map(String::as_str).collect()
        };
        answers.source.push(("patterns", Value::from(given).to_string()));
    }
    if let Some(converter) = converter {
        answers.source.push(("converter", quoted(&converter)));
    }
    answers.source_folder = Some(folder);
    answers.source_name = Some(plain(name, "--source-name")?);
    Ok(())
}

fn destination(answers: &mut Answers, args: &InitArgs, there: &There, asked: &mut Asked) -> Result<(), ErrorReport> {
    let kind = match (args.destination_kind, &args.destination_url, &args.destination_folder) {
        (Some(kind), ..) => kind,
        (None, Some(_), _) => KindArg::Wats,
        (None, None, Some(_)) => KindArg::Folder,
        (None, None, None) => {
            match asked.needed(None, "--destination-kind", "Where reports go: folder or wats (a WATS-compatible server)")? {
                None => return Ok(()),
                Some(answer) if answer.eq_ignore_ascii_case("folder") => KindArg::Folder,
                Some(answer) if answer.eq_ignore_ascii_case("wats") => KindArg::Wats,
                Some(answer) => {
                    let message = format!("{answer:?} is no kind of destination: folder, wats; nothing was changed");
                    return Err(ErrorReport::new(Code::RequestInvalid, message).with_fix("Start again"));
                }
            }
        }
    };
    let usual = free_name("main", &there.destinations);
    let name = asked.optional(args.destination_name.clone(), "Name of this destination", &usual)?.unwrap_or(usual);
    let name = plain(name, "--destination-name")?;
    match kind {
        KindArg::Folder => {
            let given = args.destination_folder.as_deref().map(text_of).transpose()?;
            if let Some(folder) = asked.needed(given, "--destination-folder", "Folder that receives the reports")? {
                let folder = absolute(Path::new(&folder))?;
                answers.destination = vec![("kind", quoted("folder")), ("folder", quoted(&text_of(&folder)?))];
            }
        }
        KindArg::Wats => {
            let url = asked.needed(args.destination_url.clone(), "--destination-url", "Address of the server")?;
            answers.destination = vec![("kind", quoted("wats"))];
            answers.destination.extend(url.map(|url| ("url", quoted(&url))));
            answers.token = token(&name, args, asked)?;
        }
    }
    answers.destination_name = Some(name);
    Ok(())
}

/// The token, unless the environment has it.
fn token(destination: &str, args: &InitArgs, asked: &mut Asked) -> Result<Option<Secret>, ErrorReport> {
    if let Some(file) = &args.token_file {
        return private::read_secret(file).map(Some).map_err(|error| {
            ErrorReport::new(Code::SecretMissing, format!("the token cannot be read from {}: {error}", text::path(file)))
                .with_fix("Give --token-file a file that only you may read, with the token on its one line")
        });
    }
    let variable = environment_variable(&secret_name(destination));
    if std::env::var_os(variable).is_some() {
        return Ok(None);
    }
    if !asked.interactive {
        asked.missing.push("--token-file");
        return Ok(None);
    }
    Ok(pin::ask("Token (it does not show): ")?.filter(|token| !token.expose().is_empty()))
}

/// A text as it is written in the file: nothing in it is taken for anything else.
fn quoted(text: &str) -> String {
    waybill_shared::config::tree::value_to_text(&Value::from(text))
}

fn text_of(path: &Path) -> Result<String, ErrorReport> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        ErrorReport::new(
            Code::RequestInvalid,
            format!("{} is no Unicode text and cannot stand in a configuration", text::path(path)),
        )
        .with_fix("Use a folder with another name")
    })
}

fn absolute(path: &Path) -> Result<PathBuf, ErrorReport> {
    std::path::absolute(path).map_err(|error| {
        ErrorReport::new(Code::RequestInvalid, format!("{:?} is no folder: {error}", text::path(path)))
            .with_fix("Give the whole path")
    })
}

/// The name of a folder as far as it can be the name of a source.
fn name_of(folder: &Path) -> String {
    let last = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain: String = last.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' }).collect();
    match plain.trim_matches(['-', '_']) {
        "" => "source".to_owned(),
        name => name.chars().take(60).collect(),
    }
}

/// The name, with a number if it is taken.
fn free_name(name: &str, taken: &[String]) -> String {
    let is_free = |name: &String| !taken.iter().any(|taken| taken.eq_ignore_ascii_case(name));
    let numbered = (2..=taken.len() + 2).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_else(|| name.to_owned())
}

/// A name that can be part of a place; whether it may be one, the configuration says.
fn plain(name: String, option: &str) -> Result<String, ErrorReport> {
    if name.is_empty() || name.contains(['.', '[', ']', '"']) {
        let message = format!("{option}: {name:?} is no name; nothing was changed");
        return Err(ErrorReport::new(Code::RequestInvalid, message).with_fix("Use letters, digits, `-` and `_`"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_the_folder_and_is_free() {
        for (folder, name) in [("/data/ict", "ict"), ("/data/Line 1 (new)", "Line-1--new"), ("/", "source"), ("/ä", "source")] {
            assert_eq!(name_of(Path::new(folder)), name, "{folder}");
        }
        let taken = ["Main".to_owned(), "main-2".to_owned()];
        assert_eq!(free_name("main", &taken), "main-3");
        assert_eq!(free_name("other", &taken), "other");
    }
}
