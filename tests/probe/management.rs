//! The probe where stanzas are acknowledged (XEP-0198), and idle limits announced (XEP-0478).

use super::*;
#[cfg(unix)]
use crate::{
    daemon::{DOMAIN, PASSWORD},
    prosody::{IDLE_LIMIT, Prosody},
};

const LOGIN: [&str; 4] = ["--jid", "a@localhost", "--password", "x"];

#[test]
fn what_came_before_our_tag_is_acknowledged_and_what_came_later_is_not() {
    let address = server(|mut tcp| {
        log_in(&mut tcp, "<sm xmlns='urn:xmpp:sm:3'/>")?;
        await_text(&mut tcp, "<enable xmlns='urn:xmpp:sm:3'/>")?;
        tcp.write_all(b"<enabled xmlns='urn:xmpp:sm:3'/><message/><presence/><r xmlns='urn:xmpp:sm:3'/><iq/>")?;
        await_text(&mut tcp, &format!("<a xmlns='urn:xmpp:sm:3' h='3'/>{TAG}"))?;
        tcp.write_all(format!("<message/><message/>{TAG}").as_bytes())?;
        read_to_end(&mut tcp)
    });
    let output = probe(&[&[&address[..], "--json"], &LOGIN[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    assert_eq!(result["acknowledged"].number(), 3.0);
    assert_eq!(result["report"]["stanzas"].number(), 6.0);
}

#[test]
fn without_a_session_to_resume_there_is_nothing_to_detach() {
    const SM: &str = "xmlns='urn:xmpp:sm:3'";
    for (feature, answer) in [
        (String::new(), String::new()),
        (format!("<sm {SM}/>"), format!("<enabled {SM} id='x'/>")),
        (format!("<sm {SM}/>"), format!("<failed {SM}/>")),
    ] {
        let address = server(move |mut tcp| {
            log_in(&mut tcp, &feature)?;
            if !feature.is_empty() {
                await_text(&mut tcp, &format!("<enable {SM} resume='true'/>"))?;
                tcp.write_all(answer.as_bytes())?;
            }
            await_text(&mut tcp, TAG)?;
            tcp.write_all(TAG.as_bytes())?;
            read_to_end(&mut tcp)
        });
        assert_failure(
            &probe(&[&[&address[..], "--detach"], &LOGIN[..]].concat()),
            7,
            "no session that could be resumed",
        );
    }
}

/// What we sent, as the timeline shows it.
#[cfg(unix)]
fn our_words(result: &Value) -> Vec<&str> {
    let entries = result["timeline"].array().iter().filter(|entry| entry["from"].text() == "us");
    entries.map(|entry| entry["what"].text()).collect()
}

#[cfg(unix)]
#[test]
fn an_account_closes_with_a_final_acknowledgement() {
    let prosody = Prosody::start();
    let (address, jid) = (prosody.addr.to_string(), format!("alice@{DOMAIN}"));
    let output = probe(&[&address, "--jid", &jid, "--password", PASSWORD, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    assert_eq!((result["end"].text(), result["report"]["outcome"].text()), ("closed", "clean"));
    assert_eq!(result["idle_seconds"].number(), IDLE_LIMIT as f64);
    assert_eq!(result["acknowledged"].number(), 0.0, "nobody has sent anything");
    let ours = our_words(&result);
    assert!(ours.contains(&"<enable/>") && ours.contains(&"<a/> </stream:stream>"), "{ours:?}");

    let before_login = probe(&[&address, "--domain", DOMAIN, "--json"]);
    let result = json(&before_login);
    assert_eq!(result["idle_seconds"].number(), IDLE_LIMIT as f64);
    assert!(result.says_null("acknowledged"));
    let for_people = probe(&[&address, "--jid", &jid, "--password", PASSWORD]);
    let words = format!("{IDLE_LIMIT} s of silence");
    assert!(for_people.stdout.contains(&words) && for_people.stdout.contains("0 stanzas, in our"), "{for_people:?}");
}

#[cfg(unix)]
#[test]
fn a_detached_session_is_resumed_and_a_closed_one_is_not() {
    let prosody = Prosody::start();
    let (address, jid) = (prosody.addr.to_string(), format!("alice@{DOMAIN}"));
    let run = |more: &[&str]| probe(&[&[&address, "--jid", &jid, "--password", PASSWORD, "--detach"], more].concat());
    let file = scratch("detach.svg");
    let output = run(&["--json", "--svg", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    let [detached, closed, again] = result.array() else { panic!("{result:?}") };

    assert_eq!((detached["end"].text(), detached["report"]["outcome"].text()), ("detached", "cancelled"));
    assert_eq!(detached["report"]["tag_sent"], false);
    let ours = our_words(detached);
    assert_eq!(ours[ours.len() - 2..], ["<a/>", "FIN"], "{ours:?}");

    assert_eq!((closed["end"].text(), closed["resumption"].text()), ("closed", "resumed"));
    let ours = our_words(closed);
    assert!(ours.contains(&"<resume/>") && ours.contains(&"<a/> </stream:stream>"), "{ours:?}");
    assert_eq!((again["end"].text(), again["resumption"].text()), ("closed", "item-not-found"));
    for closed in [closed, again] {
        assert_eq!(closed["report"]["outcome"].text(), "clean");
    }

    let texts = svg_texts(&file);
    for title in ["Detaching from a session", "Resuming that session, and closing it", "Resuming it once more"] {
        assert!(texts.iter().any(|text| text.starts_with(title)), "{title} in {texts:?}");
        assert!(run(&[]).stdout.contains(title), "{title}");
    }
}
