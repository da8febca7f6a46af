//! As much of qrexec's policy language as a package may use: one rule a line, no includes.

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Allow,
    Ask,
    Deny,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Rule {
    service: String,
    argument: String,
    source: String,
    target: String,
    action: Action,
}

/// A call as qrexec hands it to the policy; `argument` begins with `+`.
pub struct Call<'a> {
    pub service: &'a str,
    pub argument: &'a str,
    pub source: &'a str,
    pub target: &'a str,
}

/// Files of other names are ignored, or make qrexec refuse every call.
pub fn is_file_name(name: &str) -> bool {
    let well = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase() || "_.-".contains(c);
    name.ends_with(".policy") && !name.starts_with('.') && name.chars().all(well)
}

/// All rules of a file, or the first line that qrexec would not accept.
pub fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| rule(line).ok_or_else(|| line.to_owned()))
        .collect()
}

fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split_ascii_whitespace();
    let mut next = || words.next().map(str::to_owned);
    let (service, argument, source, target) = (next()?, next()?, next()?, next()?);
    let action = match next()?.as_str() {
        "allow" => Action::Allow,
        "ask" => Action::Ask,
        "deny" => Action::Deny,
        _ => return None,
    };
    let rule = Rule {
        service,
        argument,
        source,
        target,
        action,
    };
    let well = is_service(&rule.service)
        && is_argument(&rule.argument)
        && is_qube(&rule.source, &["@anyvm", "@adminvm"])
        && is_qube(&rule.target, &["@anyvm", "@adminvm", "@default", "@dispvm"])
        && words.all(|word| is_parameter(action, word));
    well.then_some(rule)
}

fn word(text: &str) -> bool {
    let well = |c: char| c.is_ascii_alphanumeric() || "_.-+".contains(c);
    !text.is_empty() && text.chars().all(well)
}

fn is_service(text: &str) -> bool {
    text == "*" || word(text) && !text.contains('+')
}

fn is_argument(text: &str) -> bool {
    text == "*" || text == "+" || text.strip_prefix('+').is_some_and(word)
}

/// `*` is not taken: in a source it would mean dom0 too, which no package should decide on.
fn is_qube(text: &str, tokens: &[&str]) -> bool {
    let classes = ["AppVM", "TemplateVM", "StandaloneVM", "DispVM"];
    if let Some(class) = text.strip_prefix("@type:") {
        return classes.contains(&class);
    }
    if let Some(tag) = text.strip_prefix("@tag:") {
        return word(tag);
    }
    tokens.contains(&text) || !text.starts_with('@') && word(text)
}

fn is_parameter(action: Action, text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else {
        return false;
    };
    let yes_or_no = value == "yes" || value == "no";
    match (key, action) {
        ("notify", _) | ("autostart", Action::Allow | Action::Ask) => yes_or_no,
        ("target" | "user", Action::Allow | Action::Ask) | ("default_target", Action::Ask) => {
            is_qube(value, &["@adminvm", "@dispvm"])
        }
        _ => false,
    }
}

/// What the first rule that fits says; without one, qrexec denies.
pub fn decide(rules: &[Rule], call: &Call<'_>) -> Option<Action> {
    let fits = |rule: &&Rule| {
        (rule.service == "*" || rule.service == call.service)
            && (rule.argument == "*" || rule.argument == call.argument)
            && fits_qube(&rule.source, call.source)
            && fits_qube(&rule.target, call.target)
    };
    rules.iter().find(fits).map(|rule| rule.action)
}

/// Whether a word of a rule means this qube. Tags and classes are not known here, and no shipped rule uses them.
fn fits_qube(rule: &str, qube: &str) -> bool {
    match rule {
        "@anyvm" => !qube.starts_with('@') && qube != "dom0",
        other => other == qube,
    }
}
