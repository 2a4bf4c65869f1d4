//! The counters of emitted objects.

use super::facts::{POOL, scene};
use super::object::{ENCODINGS, Object, object};

#[test]
fn objects_and_endpoints_are_counted_as_they_are_given() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let lists = [
            // Not all that is judged is cut.
            (vec![object("web-1", 70, "me friend"), object("db-1", 71, "other")], (2, 0, 3, 0)),
            (
                vec![object("web-1", 70, "me friend other"), object("web-2", 71, "other other")],
                (2, 2, 2, 3),
            ),
            (
                vec![
                    object("web-1", 70, "me other"),
                    object("web-2", 71, ""),
                    object("web-3", 72, "me"),
                ],
                (3, 1, 2, 1),
            ),
        ];
        for (slices, (objects, cut, kept, dropped)) in lists {
            let counts = || {
                ["objects", "objectsCut", "endpointsKept", "endpointsDropped"]
                    .map(|name| facts.count(name))
            };
            let before = counts();
            client.list(90, &slices);
            let counted: Vec<u64> =
                counts().iter().zip(before).map(|(after, before)| after - before).collect();
            assert_eq!(counted, [objects, cut, kept, dropped], "{slices:?}");
        }
    }
}

#[test]
fn what_passes_because_its_service_is_not_known_or_not_named_is_counted_apart() {
    for encoding in ENCODINGS {
        let (facts, client) = scene(encoding);
        let nobodys = |name| Object { service: String::new(), ..object(name, 70, "me other") };
        client.list(
            90,
            &[
                nobodys("x-1"),
                nobodys("x-2"),
                object("unheard-1", 71, "other"),
                object("web-1", 72, "me"),
            ],
        );
        assert_eq!((facts.count("passedNoService"), facts.count("passedUnknownService")), (2, 1));
    }
}
