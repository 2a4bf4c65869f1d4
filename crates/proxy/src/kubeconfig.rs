//! The part of a kubeconfig that names an identity: one server, its CA, and a token or a client
//! certificate.
//!
//! No error quotes the file, because it may hold a token or a key.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::upstream::Server;

/// The identity that the current context of a kubeconfig names.
#[derive(Debug)]
pub struct Kubeconfig {
    /// The API server.
    pub server: Server,
    /// The CA certificates of the API server, in PEM.
    pub ca: Material,
    /// The bearer token.
    pub token: Option<Material>,
    /// The client certificate and its key, in PEM.
    pub client_certificate: Option<(Material, Material)>,
}

/// A content, or the file that holds it. No format shows the content.
pub enum Material {
    /// The content.
    Inline(Vec<u8>),
    /// The file.
    File(PathBuf),
}

impl fmt::Debug for Material {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Material::Inline(_) => out.write_str("Inline([redacted])"),
            Material::File(path) => out.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Kubeconfig {
    /// Reads the text of a kubeconfig. Relative paths begin at `folder`, the folder of the file.
    ///
    /// # Errors
    ///
    /// Returns what has to be changed: the text is not a kubeconfig, or asks for something that
    /// the proxy does not do, such as `exec`.
    pub fn parse(text: &str, folder: &Path) -> Result<Kubeconfig, String> {
        let document: Document = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map_or_else(String::new, |location| {
                format!(" at line {}, column {}", location.line(), location.column())
            });
            format!("not a kubeconfig{place}: check its YAML and the types of its fields")
        })?;
        let name = document.current_context.filter(|name| !name.is_empty());
        let name = name.ok_or("no `current-context`: name the context to use")?;
        let context = find(document.contexts, &name, "contexts")?.context;
        let cluster = find(document.clusters, &context.cluster, "clusters")?.cluster;
        let user = find(document.users, &context.user, "users")?.user;
        cluster.check()?;
        user.check()?;

        let material = |data, file, what| material(data, file, what, folder);
        let ca = material(
            cluster.certificate_authority_data,
            cluster.certificate_authority,
            "certificate-authority",
        )?;
        let ca = ca.ok_or("no `certificate-authority`: name the CA of the API server")?;
        let certificate =
            material(user.client_certificate_data, user.client_certificate, "client-certificate")?;
        let key = material(user.client_key_data, user.client_key, "client-key")?;
        let client_certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("`client-certificate` and `client-key` need each other".to_owned()),
        };
        // As in client-go, the file has precedence.
        let token = match (user.token_file.filter(|file| !file.is_empty()), user.token) {
            (Some(file), _) => Some(Material::File(folder.join(file))),
            (None, Some(token)) if !token.is_empty() => Some(Material::Inline(token.into_bytes())),
            _ => None,
        };
        if token.is_none() && client_certificate.is_none() {
            return Err("the user has neither `token`, `tokenFile` nor `client-certificate`: \
                        name one"
                .to_owned());
        }
        let server = parse_server(&cluster.server.unwrap_or_default())?;
        Ok(Kubeconfig { server, ca, token, client_certificate })
    }
}

/// Returns the server of an `https://` URL without a path.
fn parse_server(url: &str) -> Result<Server, String> {
    let refuse = |what: &str| format!("`server` {what}: write https://HOST:PORT");
    let uri: http::Uri = url.parse().map_err(|_| refuse("is not a URL"))?;
    if uri.scheme_str() != Some("https") {
        return Err(refuse("does not begin with https://"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse("holds a user"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(refuse("has a path, which the proxy does not support"));
    }
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Server::new(host, uri.port_u16().unwrap_or(443)))
}

/// Returns the content of `data` in base64, or the file. The content has precedence.
fn material(
    data: Option<String>,
    file: Option<String>,
    what: &str,
    folder: &Path,
) -> Result<Option<Material>, String> {
    let data = data.filter(|data| !data.is_empty());
    let file = file.filter(|file| !file.is_empty());
    match (data, file) {
        (Some(data), _) => {
            let compact: String = data.split_whitespace().collect();
            let content = STANDARD
                .decode(compact)
                .map_err(|_| format!("`{what}-data` is not base64: encode the PEM file"))?;
            Ok(Some(Material::Inline(content)))
        }
        (None, file) => Ok(file.map(|file| Material::File(folder.join(file)))),
    }
}

fn find<T: Named>(list: Option<Vec<T>>, name: &str, what: &str) -> Result<T, String> {
    let found = list.into_iter().flatten().find(|entry| entry.name() == name);
    found.ok_or_else(|| format!("no entry {name:?} in `{what}`: check `current-context`"))
}

trait Named {
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($type:ident { $field:ident: $content:ty })*) => {$(
        #[derive(Deserialize)]
        struct $type {
            name: String,
            $field: $content,
        }

        impl Named for $type {
            fn name(&self) -> &str {
                &self.name
            }
        }
    )*};
}

named! {
    NamedCluster { cluster: Cluster }
    NamedContext { context: Context }
    NamedUser { user: User }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    contexts: Option<Vec<NamedContext>>,
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

impl Cluster {
    fn check(&self) -> Result<(), String> {
        let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        if self.insecure_skip_tls_verify == Some(true) {
            return Err("`insecure-skip-tls-verify`: name the CA of the API server instead".into());
        }
        for (field, is_set) in [
            ("tls-server-name", is_set(&self.tls_server_name)),
            ("proxy-url", is_set(&self.proxy_url)),
        ] {
            if is_set {
                return Err(format!("`{field}` is not supported: remove it"));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    #[serde(rename = "as")]
    impersonated: Option<IgnoredAny>,
}

impl User {
    fn check(&self) -> Result<(), String> {
        for (field, is_set) in [
            ("exec", self.exec.is_some()),
            ("auth-provider", self.auth_provider.is_some()),
            ("username", self.username.is_some()),
            ("as", self.impersonated.is_some()),
        ] {
            if is_set {
                return Err(format!(
                    "`{field}` is not supported, because the proxy runs no plugins and sends only \
                     its own identity: use `tokenFile` or `client-certificate`"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
             clusters: [{{name: c, cluster: {{{cluster}}}}}]\n\
             users: [{{name: u, user: {{{user}}}}}]\n\
             contexts: [{{name: here, context: {{cluster: c, user: u, namespace: x}}}}]\n"
        )
    }

    const CLUSTER: &str = "server: 'https://192.0.2.1:6443', certificate-authority: ca.crt";

    fn parse(cluster: &str, user: &str) -> Result<Kubeconfig, String> {
        Kubeconfig::parse(&text(cluster, user), Path::new("/etc/proxy"))
    }

    #[test]
    fn files_and_contents_are_found() {
        let config = parse(CLUSTER, "tokenFile: token, token: inline").unwrap();
        assert_eq!(config.server, Server::new("192.0.2.1", 6443));
        assert!(
            matches!(&config.ca, Material::File(path) if path == Path::new("/etc/proxy/ca.crt"))
        );
        let token = config.token.unwrap();
        assert!(matches!(&token, Material::File(path) if path == Path::new("/etc/proxy/token")));

        let cluster = "server: 'https://[::1]', certificate-authority-data: 'cGVt\n  ',\
                       certificate-authority: ignored";
        let user = "client-certificate-data: Y2VydA==, client-key: /keys/key";
        let config = parse(cluster, user).unwrap();
        assert_eq!(config.server, Server::new("::1", 443));
        assert!(matches!(&config.ca, Material::Inline(pem) if pem == b"pem"));
        let (certificate, key) = config.client_certificate.unwrap();
        assert!(matches!(certificate, Material::Inline(content) if content == b"cert"));
        assert!(matches!(key, Material::File(path) if path == Path::new("/keys/key")));
    }

    #[test]
    fn unsupported_and_contradicting_fields_are_refused_by_name() {
        let server = |url: &str| format!("server: '{url}', certificate-authority: ca.crt");
        for (cluster, user, expected) in [
            (CLUSTER.to_owned(), "exec: {command: aws}", "`exec` is not supported"),
            (CLUSTER.to_owned(), "auth-provider: {name: gcp}", "`auth-provider`"),
            (CLUSTER.to_owned(), "username: a, password: b", "`username`"),
            (CLUSTER.to_owned(), "token: t, as: admin", "`as` is not"),
            (CLUSTER.to_owned(), "", "neither `token`"),
            (CLUSTER.to_owned(), "client-certificate: c", "need each other"),
            (CLUSTER.to_owned(), "client-key-data: '%', client-certificate: c", "not base64"),
            (format!("{CLUSTER}, proxy-url: 'http://p'"), "token: t", "`proxy-url`"),
            (format!("{CLUSTER}, insecure-skip-tls-verify: true"), "token: t", "`insecure-"),
            ("server: 'https://a'".to_owned(), "token: t", "no `certificate-authority`"),
            (server("http://a"), "token: t", "https://"),
            (server("https://a/path"), "token: t", "has a path"),
            (server("https://u:p@a"), "token: t", "holds a user"),
            (server(""), "token: t", "`server`"),
        ] {
            let error = parse(&cluster, user).unwrap_err();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        }
        let error = Kubeconfig::parse("clusters: []", Path::new("/")).unwrap_err();
        assert!(error.contains("current-context"), "{error}");
        let error = Kubeconfig::parse(
            &text(CLUSTER, "token: t").replace("name: u", "name: v"),
            Path::new("/"),
        );
        assert!(error.unwrap_err().contains("\"u\" in `users`"));
    }

    #[test]
    fn nothing_shows_the_content() {
        let config = parse(CLUSTER, "token: marker-secret").unwrap();
        assert!(!format!("{config:?}").contains("marker-secret"));
        for broken in
            ["users: marker-secret", "users: [marker-secret", "clusters: {a: marker-secret}"]
        {
            let error = Kubeconfig::parse(broken, Path::new("/")).unwrap_err();
            assert!(error.contains("line 1") && !error.contains("marker-secret"), "{error}");
        }
    }
}
