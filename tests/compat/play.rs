//! Plays groups of cases against a server and reports every case that failed.

use std::fmt;

use crate::case::{Answer, Body, Case, Group, Piece};
use crate::clients::Clients;
use crate::compare::differences;
use crate::support::connection::Endpoint;
use crate::support::http::{self, Error, Http, Request, Response};
use crate::variables::{Unset, Variables, expand, expand_json};

/// Which cases are played, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All cases, over HTTP/1.1 unless a case is for HTTP/2.
    AsWritten,
    /// The cases that hold over HTTP/2, over HTTP/2.
    OverHttp2,
}

/// The result of a run.
#[derive(Default)]
pub struct Report {
    played: usize,
    failures: Vec<Failure>,
}

struct Failure {
    case: String,
    differences: Vec<String>,
}

/// Plays groups, one case after the other, each on a connection of its own.
pub async fn play(groups: &[&Group], endpoint: &Endpoint, clients: &Clients, mode: Mode) -> Report {
    let mut report = Report::default();
    for group in groups {
        let mut variables = clients.variables();
        for (index, case) in group.cases.iter().enumerate() {
            if mode == Mode::OverHttp2 && !case.holds_over_http2() {
                continue;
            }
            report.played += 1;
            let differences = play_case(case, endpoint, clients, mode, &mut variables).await;
            if !differences.is_empty() {
                let case = format!("{} #{} as {}: {} {}", group.name, index + 1, case.client, case.method, case.target);
                report.failures.push(Failure { case, differences });
            }
        }
    }
    report
}

async fn play_case(
    case: &Case,
    endpoint: &Endpoint,
    clients: &Clients,
    mode: Mode,
    variables: &mut Variables,
) -> Vec<String> {
    let (request, wanted) = match (request(case, variables), wanted(case, variables)) {
        (Ok(request), Ok(wanted)) => (request, wanted),
        (Err(Unset(name)), _) | (_, Err(Unset(name))) => return vec![format!("nothing has set ${{{name}}}")],
    };
    let client = clients.client(&case.client);
    let client = if case.tls.as_deref() == Some("1.2") { client.over_tls12() } else { client };
    let http = if mode == Mode::OverHttp2 || case.http == Some(2) { Http::Two } else { Http::One };
    let answer = http::send(endpoint, &client, http, &request).await;
    if let Ok(response) = &answer {
        save(case, response, variables);
    }
    judge(case, &wanted, &answer)
}

fn judge(case: &Case, wanted: &Answer, answer: &Result<Response, Error>) -> Vec<String> {
    match answer {
        Ok(got) if wanted.refused.is_some() => vec![format!("answered {} instead of refusing", got.status)],
        Ok(got) => differences(wanted, &case.mask, &case.check, got),
        Err(Error::Refused(_)) if wanted.refused.is_some() => Vec::new(),
        Err(error) => vec![format!("no answer, {error}")],
    }
}

fn request(case: &Case, variables: &Variables) -> Result<Request, Unset> {
    let header = |line: &String| {
        let (name, value) = line.split_once(": ").expect("a header is `Name: value`");
        Ok((name.to_owned(), expand(value, variables)?))
    };
    Ok(Request {
        method: case.method.clone(),
        target: expand(&case.target, variables)?,
        headers: case.headers.iter().map(header).collect::<Result<_, _>>()?,
        body: body(case.body.as_ref(), variables)?.into_bytes(),
        framing: case.framing(),
    })
}

fn body(body: Option<&Body>, variables: &Variables) -> Result<String, Unset> {
    match body {
        None => Ok(String::new()),
        Some(Body::Whole(text)) => expand(text, variables),
        Some(Body::Pieces(pieces)) => pieces.iter().map(|piece| expand_piece(piece, variables)).collect(),
    }
}

fn expand_piece(piece: &Piece, variables: &Variables) -> Result<String, Unset> {
    match piece {
        Piece::Text(text) => expand(text, variables),
        Piece::Repeat { repeat: (text, count) } => Ok(expand(text, variables)?.repeat(*count)),
    }
}

fn wanted(case: &Case, variables: &Variables) -> Result<Answer, Unset> {
    let mut wanted = case.wanted().clone();
    wanted.json = wanted.json.map(|value| expand_json(&value, variables)).transpose()?;
    Ok(wanted)
}

fn save(case: &Case, response: &Response, variables: &mut Variables) {
    let answer = response.json();
    for (name, field) in &case.save {
        match answer[field].as_str() {
            Some(value) => variables.insert(name.clone(), value.to_owned()),
            None => variables.remove(name),
        };
    }
}

impl Report {
    /// Adds the result of another run.
    pub fn and(mut self, other: Self) -> Self {
        self.played += other.played;
        self.failures.extend(other.failures);
        self
    }

    /// Fails the test if a case has failed, or if no case was played.
    pub fn assert_clean(&self) {
        assert!(self.played > 0, "no case was played");
        assert!(self.failures.is_empty(), "\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failure { case, differences } in &self.failures {
            writeln!(f, "  {case}")?;
            differences.iter().try_for_each(|difference| writeln!(f, "    {difference}"))?;
        }
        writeln!(f, "{} of {} cases failed", self.failures.len(), self.played)
    }
}
