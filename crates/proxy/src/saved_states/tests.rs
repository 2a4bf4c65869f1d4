use poolscope::{Action, BytesMut, Config, RequestHead, ResponseHead};
use tempfile::TempDir;

use super::*;

const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

/// A cluster whose node `me` is in pool `hz`, with what `saved` has of it.
fn cluster(saved: &SavedStates) -> (Cluster, usize) {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let restored = saved.restore(&cluster);
    learn(&cluster, "/api/v1/services", r#"{"metadata":{"resourceVersion":"9"},"items":[]}"#);
    let me = r#"{"metadata":{"name":"me","labels":{"apps.openyurt.io/nodepool":"hz"}}}"#;
    learn(&cluster, "/api/v1/nodes/me", me);
    let pools = r#"{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"hz"}}]}"#;
    learn(&cluster, "/apis/apps.openyurt.io/v1beta2/nodepools", pools);
    assert!(cluster.missing("me").is_empty());
    (cluster, restored)
}

fn learn(cluster: &Cluster, path: &str, body: &str) {
    let request = RequestHead::get(path);
    let mut reader = cluster.read_facts(&request, &ResponseHead::ok("application/json")).unwrap();
    reader.push(body.as_bytes()).unwrap();
    reader.finish().unwrap();
}

/// Another Service has keys.
fn change_facts(cluster: &Cluster) {
    let service = r#"{"metadata":{"namespace":"a","name":"b","resourceVersion":"99","annotations":
        {"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}"#;
    let list = format!(r#"{{"metadata":{{"resourceVersion":"99"}},"items":[{service}]}}"#);
    learn(cluster, "/api/v1/services", &list);
}

/// A client of node `me` lists slices, and watches from there.
fn follow(cluster: &Cluster) {
    let head = ResponseHead::ok("application/json");
    let open =
        |query| cluster.node("me").open(&RequestHead::get(format!("{SLICES}?{query}")), &head);
    let Ok(Action::Rewrite(mut list)) = open("limit=500") else { panic!("no list") };
    let body = br#"{"metadata":{"resourceVersion":"90"},"items":[{"metadata":
        {"namespace":"a","name":"c","resourceVersion":"70"},"endpoints":[]}]}"#;
    let mut out = BytesMut::new();
    list.push(body, &mut out).unwrap();
    list.finish(&mut out).unwrap();
    let Ok(Action::Rewrite(_)) = open("watch=true&resourceVersion=90") else { panic!("no watch") };
}

/// Whether a client at resourceVersion 90 can resume.
fn resumes(cluster: &Cluster) -> bool {
    let request = RequestHead::get(format!("{SLICES}?watch=true&resourceVersion=90"));
    let action = cluster.node("me").open(&request, &ResponseHead::ok("application/json"));
    matches!(action, Ok(Action::Rewrite(_)))
}

/// A folder with the saved client state of one client.
fn saved() -> (TempDir, SavedStates, Cluster) {
    let folder = TempDir::new().unwrap();
    let states = SavedStates::new(folder.path(), "me, here");
    let (cluster, restored) = cluster(&states);
    assert_eq!(restored, 0);
    follow(&cluster);
    assert!(states.save(&cluster).unwrap());
    (folder, states, cluster)
}

#[test]
fn the_next_process_resumes() {
    let (folder, ..) = saved();
    let next = SavedStates::new(folder.path(), "me, here");
    let (cluster, restored) = cluster(&next);
    assert_eq!(restored, 1);
    assert!(resumes(&cluster));
    assert!(!folder.path().join(NAME).exists(), "a second process would be behind the first");
}

#[test]
fn only_the_owner_reads_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, ..) = saved();
    let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_of_another_identity_is_ignored() {
    let (folder, ..) = saved();
    let (cluster, restored) = cluster(&SavedStates::new(folder.path(), "me, elsewhere"));
    assert_eq!(restored, 0);
    assert!(!resumes(&cluster));
}

#[test]
fn a_damaged_file_is_ignored() {
    let (folder, ..) = saved();
    let path = folder.path().join(NAME);
    let whole = fs::read(&path).unwrap();
    let damaged = (0..whole.len()).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    });
    let cut = (0..whole.len()).map(|at| whole[..at].to_vec());
    for bytes in damaged.chain(cut) {
        fs::write(&path, &bytes).unwrap();
        let (cluster, restored) = cluster(&SavedStates::new(folder.path(), "me, here"));
        assert_eq!(restored, 0);
        assert!(!resumes(&cluster));
        assert!(!path.exists());
    }
}

#[test]
fn the_file_goes_before_facts_change() {
    let (folder, _states, cluster) = saved();
    change_facts(&cluster);
    assert!(!folder.path().join(NAME).exists());
    let (cluster, restored) = self::cluster(&SavedStates::new(folder.path(), "me, here"));
    assert_eq!(restored, 0);
    assert!(!resumes(&cluster));
}

#[test]
fn a_change_while_saving_leaves_no_file() {
    let (folder, states, cluster) = saved();
    let (generation, bytes) = (cluster.generation(), cluster.save_client_states(MAX_BYTES));
    change_facts(&cluster);
    assert!(!states.write(&cluster, generation, &bytes).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn states_are_saved_once_they_are_quiet() {
    let folder = TempDir::new().unwrap();
    let states = SavedStates::new(folder.path(), "me, here");
    let (cluster, _) = cluster(&states);
    let path = folder.path().join(NAME);
    assert!(!states.save_if_quiet(&cluster).unwrap());
    follow(&cluster);
    assert!(!states.save_if_quiet(&cluster).unwrap(), "a client has come");
    assert!(states.save_if_quiet(&cluster).unwrap());
    assert!(!states.save_if_quiet(&cluster).unwrap(), "it is written already");
    assert!(path.exists());
    let other = RequestHead::get(format!("{SLICES}?limit=500")).header("User-Agent", "other/1");
    let head = ResponseHead::ok("application/json");
    let Ok(Action::Rewrite(mut list)) = cluster.node("me").open(&other, &head) else { panic!() };
    let mut out = BytesMut::new();
    list.push(br#"{"metadata":{"resourceVersion":"91"},"items":[]}"#, &mut out).unwrap();
    list.finish(&mut out).unwrap();
    assert!(!states.save_if_quiet(&cluster).unwrap());
    assert!(!path.exists(), "it is behind");
    assert!(states.save_if_quiet(&cluster).unwrap());
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error() {
    let folder = TempDir::new().unwrap();
    let states = SavedStates::new(&folder.path().join("none"), "me, here");
    let (cluster, _) = cluster(&states);
    states.save(&cluster).unwrap_err();
}
