#![expect(clippy::unwrap_used, reason = "a test may stop where it finds a fault")]

use std::path::PathBuf;

use secrecy::SecretString;
use test_case::test_case;

use super::*;
use crate::ssh::Question;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzD/RXcDkbkp9n9BTn650KVaRPMKLAdFQJ2eRSHIfln";
const FINGERPRINT: &str = "SHA256:TqgRYhG7LvZKtCxmgADSt748BJ79zb1HeRxN9BuXNF8";

/// Asks somebody who gives these answers and then leaves; also returns all that was shown.
async fn ask(besides: &UnknownServer, other_names: &[String], answers: &[&str]) -> (bool, Vec<Form>) {
    let key = PublicKey::from_openssh(KEY).unwrap();
    let shown = Shown { host: "[h]:2222", key: &key, fingerprint: FINGERPRINT, besides };
    let (person, mut asked) = Person::somebody(false);
    let answering = async move {
        let mut forms = Vec::new();
        for given in answers {
            let Some(Question { form, answer }) = asked.recv().await else { break };
            forms.push(form);
            answer.send(vec![SecretString::from(*given)]).unwrap();
        }
        forms
    };
    let asking = async move { trusts(&person, &shown, other_names).await };
    tokio::join!(asking, answering)
}

#[test_case(&["yes"], true, 1)]
#[test_case(&[" YES "], true, 1; "capital letters and spaces")]
#[test_case(&[FINGERPRINT], true, 1; "the fingerprint")]
#[test_case(&["y", "yes"], true, 2; "y is no yes")]
#[test_case(&["SHA256:other", "what", "yes"], true, 3; "asked again")]
#[test_case(&["what", "what", "what", "yes"], false, 3; "three times and no more")]
#[test_case(&["no", "yes"], false, 1)]
#[test_case(&["", "yes"], false, 1; "an empty answer is a no")]
#[test_case(&[], false, 0; "somebody who leaves")]
#[tokio::test]
async fn answers(given: &[&str], trusted: bool, asked: usize) {
    let (found, forms) = ask(&UnknownServer::default(), &[], given).await;
    assert_eq!((found, forms.len()), (trusted, asked));
}

#[tokio::test]
async fn it_is_asked_as_ssh_does() {
    let besides = UnknownServer { address: Some("127.0.0.1:2222".parse().unwrap()), ..UnknownServer::default() };
    let (_, forms) = ask(&besides, &[], &["what", "no"]).await;
    let [first, second] = &*forms else { unreachable!("{forms:?}") };
    assert_eq!(
        first.words,
        format!(
            "The authenticity of host '[h]:2222 ([127.0.0.1]:2222)' can't be established.\n\
             ED25519 key fingerprint is {FINGERPRINT}.\nThis key is not known by any other names."
        )
    );
    let prompt = |form: &Form| form.prompts.iter().map(|prompt| (prompt.text.clone(), prompt.echo)).collect::<Vec<_>>();
    let text = "Are you sure you want to continue connecting (yes/no/[fingerprint])? ";
    assert_eq!(prompt(first), [(text.to_owned(), true)]);
    assert_eq!(second.words, "");
    assert_eq!(prompt(second), [("Please type 'yes', 'no' or the fingerprint: ".to_owned(), true)]);
}

#[tokio::test]
async fn what_is_odd_is_said() {
    let authority = Some((PathBuf::from("/k"), 7));
    let words = async |besides: UnknownServer, names: &[String]| {
        ask(&besides, names, &["no"]).await.1.first().unwrap().words.clone()
    };
    let missing = UnknownServer { authority: authority.clone(), ..UnknownServer::default() };
    let told = words(missing, &[]).await;
    assert!(told.contains("\nIt shows no certificate, though /k:7 names an authority for it.\n"), "{told}");
    let problem = Some("it expired 2 days ago".to_owned());
    let bad = UnknownServer { authority, certificate: problem, ..UnknownServer::default() };
    let told = words(bad, &[]).await;
    assert!(told.contains("\nIt shows a certificate, which says nothing for it: it expired 2 days ago.\n"), "{told}");
    let names: Vec<String> = (0..10).map(|line| format!("/k:{line}: name")).collect();
    let told = words(UnknownServer::default(), &names).await;
    assert!(told.contains("following other names/addresses:\n    /k:0: name\n    /k:1: name\n"), "{told}");
    assert!(told.ends_with("/k:7: name\n    (2 additional names omitted)"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_no() {
    let key = PublicKey::from_openssh(KEY).unwrap();
    let besides = UnknownServer::default();
    let shown = Shown { host: "h", key: &key, fingerprint: FINGERPRINT, besides: &besides };
    let (person, _asked) = Person::somebody(false);
    let begun = tokio::time::Instant::now();
    assert!(!trusts(&person, &shown, &[]).await);
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
}
