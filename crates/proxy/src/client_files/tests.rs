use std::os::unix::fs::MetadataExt;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn writes_both_files_with_their_modes() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("cilium/poolscope");
    let files = ClientFiles::new(&directory, CLIENT_DIRECTORY, 10271).unwrap();

    assert!(files.write("the CA").unwrap());

    assert_eq!(fs::read_to_string(files.ca_path()).unwrap(), "the CA");
    assert_eq!(
        fs::read_to_string(files.kubeconfig_path()).unwrap(),
        "\
# Written by poolscope-proxy. Changes are overwritten.
apiVersion: v1
kind: Config
clusters:
- name: poolscope
  cluster:
    server: \"https://127.0.0.1:10271\"
    certificate-authority: \"/var/run/cilium/poolscope/ca.crt\"
users:
- name: agent
  user:
    tokenFile: \"/var/run/secrets/kubernetes.io/serviceaccount/token\"
contexts:
- name: poolscope
  context:
    cluster: poolscope
    user: agent
current-context: poolscope
"
    );
    assert_eq!(mode(&directory), 0o755);
    assert_eq!(mode(&files.ca_path()), 0o644);
    assert_eq!(mode(&files.kubeconfig_path()), 0o644);
    assert_eq!(names(&directory), ["ca.crt", "kubeconfig"], "temporary files are left");
}

#[test]
fn rewrites_a_file_only_if_content_or_mode_differs() {
    let root = tempfile::tempdir().unwrap();
    let files = ClientFiles::new(root.path(), CLIENT_DIRECTORY, 10271).unwrap();
    // An open file keeps its inode number from being used again.
    let mut open = Vec::new();
    let mut inodes = || {
        [files.ca_path(), files.kubeconfig_path()].map(|path| {
            open.push(fs::File::open(&path).unwrap());
            fs::metadata(path).unwrap().ino()
        })
    };
    files.write("first").unwrap();
    let first = inodes();

    assert!(!files.write("first").unwrap());
    assert_eq!(inodes(), first);

    assert!(files.write("second").unwrap());
    let second = inodes();
    assert_ne!(second[0], first[0], "the file is replaced, not overwritten in place");
    assert_eq!(second[1], first[1]);

    fs::set_permissions(files.ca_path(), Permissions::from_mode(0o600)).unwrap();
    assert!(files.write("second").unwrap());
    assert_eq!(mode(&files.ca_path()), 0o644);

    fs::remove_file(files.kubeconfig_path()).unwrap();
    assert!(files.write("second").unwrap(), "a reboot clears the directory");
    assert!(files.kubeconfig_path().is_file());
}

#[test]
fn replaces_a_symbolic_link_and_leaves_its_target() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("target");
    fs::write(&target, "secret").unwrap();
    let files = ClientFiles::new(root.path(), CLIENT_DIRECTORY, 10271).unwrap();
    std::os::unix::fs::symlink(&target, files.ca_path()).unwrap();

    files.write("the CA").unwrap();

    assert_eq!(fs::read_to_string(&target).unwrap(), "secret");
    assert!(fs::symlink_metadata(files.ca_path()).unwrap().is_file());
}

#[test]
fn removes_both_files_and_may_be_repeated() {
    let root = tempfile::tempdir().unwrap();
    let files = ClientFiles::new(root.path(), CLIENT_DIRECTORY, 10271).unwrap();
    files.write("the CA").unwrap();

    files.remove().unwrap();
    assert!(names(root.path()).is_empty());
    files.remove().unwrap();
}

#[test]
fn a_failed_write_names_the_file_and_leaves_no_temporary_file() {
    let root = tempfile::tempdir().unwrap();
    let files = ClientFiles::new(root.path(), CLIENT_DIRECTORY, 10271).unwrap();
    fs::create_dir(files.ca_path()).unwrap();

    let error = files.write("the CA").unwrap_err().to_string();

    assert!(error.contains("ca.crt failed (") && error.contains("writable"), "{error}");
    assert_eq!(names(root.path()), ["ca.crt"]);
    let error = files.remove().unwrap_err().to_string();
    assert!(error.starts_with("removing ") && error.contains("by hand"), "{error}");
}

#[test]
fn the_path_of_the_client_is_quoted_and_absolute() {
    let files = ClientFiles::new("/here", "/a \"b\": #c", 1).unwrap();
    assert!(files.kubeconfig().contains(r##"certificate-authority: "/a \"b\": #c/ca.crt""##));
    let error = ClientFiles::new("/here", "relative", 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "invalid client directory (relative): use an absolute path in UTF-8, as the client sees it"
    );
}
