//! JSON bodies: what is left of them is what is left of the values in them when a naive filter has
//! gone over them.

use super::go::{Header, Json, Read, Refused};
use super::world::{Case, Form, Kind, Looked, is_limit, show};

/// Filters a body and compares every value that is left with what should be.
pub fn check(form: Form, input: &[u8]) -> Looked {
    let Some(case) = Case::of(form, "application/json", input) else { return Looked::Refused };
    let filtered = case.filtered();
    let Ok(expected) = expected(&case) else { return Looked::Refused };
    match filtered {
        Ok(filtered) => {
            let mut rest = case.body.iter();
            assert!(
                filtered.iter().all(|byte| rest.any(|other| other == byte)),
                "bytes that were not there:\n{}",
                show(&filtered)
            );
            let left = Json::values(&filtered);
            assert!(
                left.as_ref() == Ok(&expected),
                "not what should be left:\n{}\n{expected:?}\n{left:?}",
                show(&filtered)
            );
            Looked::Compared
        }
        Err(error) if is_limit(&error) => Looked::Refused,
        Err(error) => panic!("a decoder would take it: {error}"),
    }
}

/// The values that should be left; nothing is said of bodies that no decoder takes, or of another
/// kind.
fn expected(case: &Case<'_>) -> Read<Vec<Json>> {
    let mut values = Json::values(case.body)?;
    match (case.form, &mut *values) {
        (Form::Get, [object]) => filter(case, object)?,
        (Form::List, [list]) => filter_list(case, list)?,
        (Form::Watch, events) => {
            events.iter_mut().try_for_each(|event| filter_event(case, event))?
        }
        _ => return Err(Refused),
    }
    Ok(values)
}

fn filter_list(case: &Case<'_>, list: &mut Json) -> Read<()> {
    let kind = Header::read(list)?.kind;
    if kind != format!("{}List", case.kind.name()) {
        return Err(Refused);
    }
    let Json::Object(members) = list else { return Err(Refused) };
    // Go would put the second array over the first.
    if members.iter().filter(|(key, _)| key == "items").count() > 1 {
        return Err(Refused);
    }
    for (_, items) in members.iter_mut().filter(|(key, _)| key == "items") {
        match items {
            Json::Null => {}
            Json::Array(items) => items.iter_mut().try_for_each(|item| filter(case, item))?,
            _ => return Err(Refused),
        }
    }
    Ok(())
}

fn filter_event(case: &Case<'_>, event: &mut Json) -> Read<()> {
    let mut kind = String::new();
    for (_, value) in event.members()?.iter().filter(|(key, _)| key == "type") {
        value.text(&mut kind)?;
    }
    let Json::Object(members) = event else { return Err(Refused) };
    let mut objects: Vec<&mut Json> =
        members.iter_mut().filter(|(key, _)| key == "object").map(|(_, value)| value).collect();
    match (kind.as_str(), &mut *objects) {
        ("", _) | (_, []) => Err(Refused),
        ("BOOKMARK" | "ERROR", [_]) => Ok(()),
        (_, [object]) => filter(case, object),
        // Twice in one event is refused here, too.
        _ => Err(Refused),
    }
}

/// Takes the endpoints out of one object that its node may not use.
fn filter(case: &Case<'_>, object: &mut Json) -> Read<()> {
    let header = Header::read(object)?;
    let is_own = |said: &str, own: &str| said.is_empty() || said == own;
    if !is_own(&header.kind, case.kind.name())
        || !is_own(&header.api_version, case.kind.api_version())
    {
        return Err(Refused);
    }
    let service = match case.kind {
        Kind::Endpoints => Some(header.name.as_str()),
        _ => header.labels.get("kubernetes.io/service-name").map(String::as_str),
    };
    let keeps = |on: Option<String>| case.keeps(&header.namespace, service, on.as_deref());
    let Json::Object(members) = object else { return Err(Refused) };
    for (key, value) in members {
        match (key.as_str(), case.kind) {
            ("addressType", Kind::Slice | Kind::Beta) => drop(value.pointer()?),
            ("endpoints", Kind::Slice) => {
                retain(value, |endpoint| conditions(endpoint).and(Ok(keeps(node_name(endpoint)?))))?
            }
            ("endpoints", Kind::Beta) => {
                retain(value, |endpoint| conditions(endpoint).and(Ok(keeps(hostname(endpoint)?))))?
            }
            ("subsets", Kind::Endpoints) => retain(value, |subset| filter_subset(subset, &keeps))?,
            _ => {}
        }
    }
    Ok(())
}

/// Takes addresses out of a subset; false if none is left, and the subset goes too.
fn filter_subset(subset: &mut Json, keeps: &impl Fn(Option<String>) -> bool) -> Read<bool> {
    let mut left = 0;
    if let Json::Object(members) = subset {
        for (_, addresses) in members
            .iter_mut()
            .filter(|(key, _)| matches!(key.as_str(), "addresses" | "notReadyAddresses"))
        {
            retain(addresses, |address| Ok(keeps(node_name(address)?)))?;
            left += addresses.elements()?.len();
        }
    } else if *subset != Json::Null {
        return Err(Refused);
    }
    // An object that no rule touches keeps even an empty subset.
    Ok(left > 0 || keeps(None))
}

fn retain(array: &mut Json, mut keeps: impl FnMut(&mut Json) -> Read<bool>) -> Read<()> {
    array.elements()?;
    let Json::Array(elements) = array else { return Ok(()) };
    let mut result = Ok(());
    elements.retain_mut(|element| {
        keeps(element).unwrap_or_else(|refused| {
            result = Err(refused);
            true
        })
    });
    result
}

/// Conditions are a struct, which topology fallbacks look into.
fn conditions(endpoint: &Json) -> Read<()> {
    if let Json::Object(members) = endpoint {
        for (_, value) in
            members.iter().filter(|(key, value)| key == "conditions" && *value != Json::Null)
        {
            value.members()?;
        }
    }
    Ok(())
}

fn node_name(endpoint: &Json) -> Read<Option<String>> {
    let mut node = None;
    if *endpoint != Json::Null {
        for (_, value) in endpoint.members()?.iter().filter(|(key, _)| key == "nodeName") {
            node = value.pointer()?;
        }
    }
    Ok(node)
}

fn hostname(endpoint: &Json) -> Read<Option<String>> {
    let mut topology = Default::default();
    if *endpoint != Json::Null {
        for (_, value) in endpoint.members()?.iter().filter(|(key, _)| key == "topology") {
            value.map(&mut topology)?;
        }
    }
    Ok(topology.remove("kubernetes.io/hostname"))
}
