//! The five capability sets, exactly as configured.

use serde_json::{Value, json};

use crate::support::case::cases;
use crate::support::{Container, Lane, Need, needs};

cases![
    the_default_configs_sets,
    each_set_is_its_own,
    an_empty_object_means_none,
    nothing_is_inheritable_unless_configured,
    a_user_keeps_none_without_ambient,
    a_user_keeps_the_ambient_ones,
    root_gets_the_permitted_ones_alone,
    all_that_this_machine_has,
    an_unknown_one_is_left_out,
    what_the_runtime_lacks_is_left_out,
];

fn sets_of(c: &Container) -> Value {
    c.run().ok().report()["capabilities"].clone()
}

fn the_default_configs_sets() {
    let three = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
    let expected = json!({"bounding": three, "effective": three, "permitted": three, "inheritable": [], "ambient": []});
    assert_eq!(sets_of(&Container::new()), expected);
}

fn each_set_is_its_own() {
    let c = Container::new().set("/process/user/uid", 1000).set(
        "/process/capabilities",
        json!({
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"],
            "ambient": ["CAP_CHOWN"],
        }),
    );
    // What execve makes of these for a user other than root: permitted and effective become the ambient set.
    let expected = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"],
        "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"], "ambient": ["CAP_CHOWN"],
    });
    assert_eq!(sets_of(&c), expected);
}

fn an_empty_object_means_none() {
    let none = json!({"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []});
    assert_eq!(sets_of(&Container::new().set("/process/capabilities", json!({}))), none);
}

fn nothing_is_inheritable_unless_configured() {
    let sets = json!({"bounding": ["CAP_NET_RAW"], "effective": ["CAP_NET_RAW"], "permitted": ["CAP_NET_RAW"]});
    assert_eq!(sets_of(&Container::new().set("/process/capabilities", sets))["inheritable"], json!([]));
}

fn a_user_keeps_none_without_ambient() {
    let sets = sets_of(&Container::new().set("/process/user/uid", 1000));
    assert_eq!((&sets["effective"], &sets["permitted"], &sets["ambient"]), (&json!([]), &json!([]), &json!([])));
}

fn a_user_keeps_the_ambient_ones() {
    let one = json!(["CAP_NET_BIND_SERVICE"]);
    let all = json!({"bounding": one, "effective": one, "permitted": one, "inheritable": one, "ambient": one});
    let c = Container::new().set("/process/user/uid", 1000).set("/process/capabilities", all.clone());
    assert_eq!(sets_of(&c), all);
}

fn root_gets_the_permitted_ones_alone() {
    // Root's execve fills permitted from the bounding set, so the bounding set is what limits it.
    let c = Container::new().set("/process/capabilities/bounding", json!(["CAP_KILL"]));
    let c = c.set("/process/capabilities/effective", json!(["CAP_KILL"]));
    let sets = sets_of(&c.set("/process/capabilities/permitted", json!(["CAP_KILL"])));
    assert_eq!((&sets["bounding"], &sets["effective"]), (&json!(["CAP_KILL"]), &json!(["CAP_KILL"])));
}

fn all_that_this_machine_has() {
    let known = caps::all();
    let mut here: Vec<String> = known.iter().map(ToString::to_string).collect();
    here.retain(|name| Lane::has_capability(name));
    here.sort();
    let sets = json!({"bounding": here, "effective": here, "permitted": here});
    let seen = sets_of(&Container::new().set("/process/capabilities", sets));
    let mut seen: Vec<&str> = seen["effective"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    seen.sort_unstable();
    assert_eq!(seen, here);
}

fn an_unknown_one_is_left_out() {
    needs(Need::Not("runc", "it warns on its standard error"));
    let names = json!(["CAP_KILL", "CAP_BOGUS"]);
    let sets = json!({"bounding": names, "permitted": names, "effective": names});
    let c = Container::new().set("/process/capabilities", sets);
    assert_eq!(sets_of(&c)["bounding"], json!(["CAP_KILL"]));
    let told = c.call("--debug").args(["create", "--bundle"]).arg(c.bundle()).arg(c.id()).run().ok();
    assert!(told.log.unwrap_or_default().contains("CAP_BOGUS"), "nobody is told");
}

/// Of `exec` too, which takes what the container has.
fn what_the_runtime_lacks_is_left_out() {
    needs(Need::Not("runc", "older releases fail"));
    needs(Need::Not("crun", "it fails"));
    let lacking = "CAP_SYS_RESOURCE";
    needs(Need::NoCapability(lacking));
    let names = json!(["CAP_KILL", lacking]);
    let sets =
        json!({"bounding": names, "permitted": names, "effective": names, "inheritable": names, "ambient": names});
    let c = Container::new().set("/process/capabilities", sets);
    let own = json!(["CAP_KILL"]);
    let all = json!({"bounding": own, "permitted": own, "effective": own, "inheritable": own, "ambient": own});
    assert_eq!(sets_of(&c), all);
    let c = c.args(["sleep"]).up();
    let report = c.call("exec").arg(c.id()).args(["/probe", "report"]).run().ok().report();
    assert_eq!(report["capabilities"], all);
}
