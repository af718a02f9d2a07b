//! What a single value must fulfil.

use std::fmt::Display;
use std::path::PathBuf;

use crate::schema::Rule;

fn rule<T>(text: impl Into<String>, holds: impl Fn(&T) -> bool + 'static) -> Rule<T> {
    Rule { text: text.into(), bounds: None, holds: Box::new(holds) }
}

fn bounds<T: TryInto<u64> + Copy>(low: T, high: T) -> Option<(u64, u64)> {
    Some((low.try_into().ok()?, high.try_into().ok()?))
}

pub(super) fn range<T: PartialOrd + Display + TryInto<u64> + Copy + 'static>(low: T, high: T) -> Rule<T> {
    Rule { bounds: bounds(low, high), ..rule(format!("{low} to {high}"), move |value| (low..=high).contains(value)) }
}

pub(super) fn optional_range<T: PartialOrd + Display + TryInto<u64> + Copy + 'static>(low: T, high: T) -> Rule<Option<T>> {
    Rule {
        bounds: bounds(low, high),
        ..rule(format!("{low} to {high}"), move |value: &Option<T>| value.is_none_or(|value| (low..=high).contains(&value)))
    }
}

pub(super) fn some_days() -> Rule<Option<u64>> {
    optional_range(1, 36_500)
}

fn is_short_text(text: &str, max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max && !text.contains(char::is_control)
}

pub(super) fn short_text(max: usize) -> Rule<String> {
    rule(format!("1 to {max} characters, none of them a control character"), move |text: &String| is_short_text(text, max))
}

pub(super) fn optional_text(max: usize) -> Rule<Option<String>> {
    rule(format!("1 to {max} characters, none of them a control character"), move |text: &Option<String>| {
        text.as_deref().is_none_or(|text| is_short_text(text, max))
    })
}

pub(super) fn plain_name() -> Rule<String> {
    rule("1 to 64 letters, digits, `-` or `_`, beginning with a letter or digit", |name: &String| {
        name.len() <= 64
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    })
}

pub(super) fn env_name() -> Rule<Option<String>> {
    rule("the name of an environment variable: letters, digits and `_`", |name: &Option<String>| {
        name.as_deref().is_none_or(|name| {
            name.len() <= 255
                && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
    })
}

pub(super) fn some_path() -> Rule<PathBuf> {
    rule("a path that is not empty", |path: &PathBuf| !path.as_os_str().is_empty())
}

pub(super) fn optional_path() -> Rule<Option<PathBuf>> {
    rule("a path that is not empty", |path: &Option<PathBuf>| path.as_ref().is_none_or(|path| !path.as_os_str().is_empty()))
}

pub(super) fn globs() -> Rule<Vec<String>> {
    rule("at least one glob, each valid and without `/`", |patterns: &Vec<String>| {
        !patterns.is_empty() && patterns.iter().all(|p| !p.is_empty() && !p.contains('/') && globset::Glob::new(p).is_ok())
    })
}

pub(super) fn hosts() -> Rule<Vec<String>> {
    rule("each a host name, `.domain`, an address, or a network like `10.0.0.0/8`", |hosts: &Vec<String>| {
        hosts.iter().all(|host| {
            !host.is_empty()
                && host.len() <= 255
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '/' | '*' | '[' | ']'))
        })
    })
}

pub(super) fn http_url() -> Rule<Option<String>> {
    rule(
        "an address that begins with http:// or https://, has a host, and neither user nor password nor anything after `?` or `#`",
        |url: &Option<String>| {
            url.as_deref().is_none_or(|url| {
                url::Url::parse(url).is_ok_and(|url| {
                    matches!(url.scheme(), "http" | "https")
                        && url.has_host()
                        && url.username().is_empty()
                        && url.password().is_none()
                        && url.port() != Some(0)
                        && url.query().is_none()
                        && url.fragment().is_none()
                })
            })
        },
    )
}
