//! Requests: which of them are filtered, which are read as facts, and that what is written
//! otherwise and means the same is the same.

use poolscope::{Action, Cluster, Config, ErrorKind, ReplyCause, RequestHead, ResponseHead};

use super::world::Looked;

/// How the response to a request is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answered {
    Passes,
    Filtered { kind: &'static str, form: &'static str },
    ReadAsFacts { kind: &'static str, form: &'static str },
}

impl Answered {
    fn is_of(&self, wanted: &str) -> bool {
        matches!(
            self,
            Answered::Filtered { kind, .. } | Answered::ReadAsFacts { kind, .. } if *kind == wanted
        )
    }
}

thread_local! {
    static CLUSTER: Cluster = {
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        for (path, kind) in [
            ("/api/v1/services", "Service"),
            ("/api/v1/nodes", "Node"),
            ("/apis/apps.openyurt.io/v1beta2/nodepools", "NodePool"),
        ] {
            crate::small::feed(&cluster, path, kind, &[]);
        }
        cluster
    };
}

/// The first line is the method, the second the target, every other a header.
pub fn check(input: &[u8]) -> Looked {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.split('\n');
    let (Some(method), Some(target)) = (lines.next(), lines.next()) else { return Looked::Refused };
    let mut request = RequestHead::new(method, target);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value.trim());
    }
    let answered = answered(&request);
    let prepared = CLUSTER.with(|cluster| cluster.node("node").prepare(request.clone()));
    assert_eq!((&prepared.method, &prepared.target), (&request.method, &request.target));
    let twice = CLUSTER.with(|cluster| cluster.node("node").prepare(prepared.clone()));
    assert_eq!(twice, prepared, "prepared twice is another request");
    assert_eq!(self::answered(&prepared), answered, "prepared it asks for something else");
    if answered == Answered::Passes {
        assert_eq!(prepared, request, "what is nothing to us is changed");
    } else {
        let accepts =
            prepared.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
        for (_, value) in accepts {
            for clause in value.split(',').map(|clause| clause.trim().to_ascii_lowercase()) {
                let media = clause.split(';').next().unwrap().trim();
                assert!(
                    !matches!(
                        media,
                        "application/cbor" | "application/cbor-seq" | "application/yaml"
                    ),
                    "{clause}"
                );
            }
        }
        assert!(
            !prepared.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("accept-encoding"))
        );
        // The path, written in another way.
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        if path.starts_with('/') {
            let slashes = path.replace('/', "//./");
            let escaped: String = path
                .chars()
                .map(|letter| if letter == 'i' { "%69".to_owned() } else { letter.to_string() })
                .collect();
            for path in [
                slashes,
                escaped,
                format!("https://host{path}"),
                format!("/k8s/clusters/c-1{path}"),
                format!("/x/..{path}"),
            ] {
                let target = query.map_or(path.clone(), |query| format!("{path}?{query}"));
                let mut other = request.clone();
                other.target = target;
                assert_eq!(self::answered(&other), answered, "{path}");
            }
        }
    }
    let expected = plain(&request);
    let query = target.split_once('?').map_or("", |(_, query)| query);
    if expected.is_of("\"ConfigMap\"")
        && form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "fieldSelector")
    {
        // Another name may be asked for in many ways.
        return Looked::Refused;
    }
    assert_eq!(answered, expected, "{request:?}");
    Looked::Compared
}

/// How the library handles the response.
fn answered(request: &RequestHead) -> Answered {
    let (form, kind) = CLUSTER.with(|cluster| {
        let head = ResponseHead::ok("application/json");
        let feeds = match cluster.read_facts(request, &head) {
            Ok(feed) => Some(format!("{feed:?}")),
            Err(error) if error.kind() == ErrorKind::NotAFact => None,
            Err(error) => panic!("{error}"),
        };
        let stream = match cluster.node("node").open_stateless(request, &head).unwrap() {
            Action::Forward => None,
            Action::Rewrite(stream) => Some(format!("{stream:?}")),
            // Not all Services are known: those that a selector omits may be among them.
            Action::Reply(reply) => {
                assert!(matches!(reply.cause, ReplyCause::MissingFacts(_)), "{reply:?}");
                return (None, None);
            }
        };
        (stream.clone().or(feeds.clone()), Some(feeds.is_some()))
    });
    let (Some(text), Some(fact_kind)) = (form, kind) else { return Answered::Passes };
    let word = |words: &[&'static str]| *words.iter().find(|word| text.contains(**word)).unwrap();
    let form = word(&["Watch", "List", "Object"]);
    match fact_kind {
        true => Answered::ReadAsFacts {
            kind: word(&[
                "\"Service\"",
                "\"ConfigMap\"",
                "\"CiliumNode\"",
                "\"NodePool\"",
                "\"NodeBucket\"",
                "\"Node\"",
            ]),
            form,
        },
        false => Answered::Filtered { kind: word(&["\"EndpointSlice\"", "\"Endpoints\""]), form },
    }
}

/// How the response should be handled, by another reading of the path.
fn plain(request: &RequestHead) -> Answered {
    if request.method != "GET" {
        return Answered::Passes;
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = match path.find("://") {
        Some(at) if !path[..at].contains('/') => {
            let rest = &path[at + 3..];
            rest.find('/').map_or("", |slash| &rest[slash..])
        }
        _ => path,
    };
    let mut segments: Vec<String> = Vec::new();
    // Go's servers decode the path before anything else looks at it.
    for segment in unescaped(path).split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_owned()),
        }
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    // Any path may precede the root, also another root: the end of the path decides.
    (0..segments.len())
        .map(|at| plain_from(&segments[at..], query))
        .find(|answered| *answered != Answered::Passes)
        .unwrap_or(Answered::Passes)
}

/// Reads a path that begins with the API root.
fn plain_from(segments: &[&str], query: &str) -> Answered {
    let (group, version, rest) = match segments {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Answered::Passes,
    };
    let (by_path, rest) =
        if let ["watch", rest @ ..] = rest { (true, rest) } else { (false, rest) };
    let (namespace, plural, name) = match rest {
        ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
        ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
        // The status of a Service is the whole Service.
        ["namespaces", namespace, "services", name, "status"] if !by_path => {
            (Some(*namespace), "services", Some(*name))
        }
        ["services", name, "status"] if !by_path => (None, "services", Some(*name)),
        [plural] => (None, *plural, None),
        [plural, name] if *plural != "namespaces" => (None, *plural, Some(*name)),
        _ => return Answered::Passes,
    };
    // Only one ConfigMap matters.
    if plural == "configmaps"
        && (namespace.is_some_and(|own| own != "kube-system")
            || name.is_some_and(|own| own != "yurt-hub-cfg"))
    {
        return Answered::Passes;
    }
    let asks = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "watch");
    let watch = asks.is_some_and(|(_, value)| value != "0" && !value.eq_ignore_ascii_case("false"));
    let form = match name {
        name if by_path || watch && name.is_none() => "Watch",
        Some(_) => "Object",
        None => "List",
    };
    match (group, version, plural) {
        ("discovery.k8s.io", "v1" | "v1beta1", "endpointslices") => {
            Answered::Filtered { kind: "\"EndpointSlice\"", form }
        }
        ("", "v1", "endpoints") => Answered::Filtered { kind: "\"Endpoints\"", form },
        ("", "v1", "services") => Answered::ReadAsFacts { kind: "\"Service\"", form },
        ("", "v1", "configmaps") => Answered::ReadAsFacts { kind: "\"ConfigMap\"", form },
        ("", "v1", "nodes") => Answered::ReadAsFacts { kind: "\"Node\"", form },
        ("cilium.io", _, "ciliumnodes") => Answered::ReadAsFacts { kind: "\"CiliumNode\"", form },
        ("apps.openyurt.io", _, "nodepools") => {
            Answered::ReadAsFacts { kind: "\"NodePool\"", form }
        }
        ("apps.openyurt.io", _, "nodebuckets") => {
            Answered::ReadAsFacts { kind: "\"NodeBucket\"", form }
        }
        _ => Answered::Passes,
    }
}

/// A segment with its escapes resolved; what is no escape stands for itself.
fn unescaped(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) if !bytes[at + 1..].starts_with(b"+") => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
