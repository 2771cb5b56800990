//! What all rules together find and leave.

use proptest::prelude::*;

use super::*;

/// Checks what becomes of a text.
pub(super) fn check_kind(text: &str, expected: &str) {
    assert_eq!(Redactor::default().redacted(text), expected, "{text}");
}

#[test]
fn what_must_not_be_kept_is_replaced() {
    for (text, expected) in [
        // E-mail addresses.
        ("mail ann.lee+x@example.com.", "mail <email>."),
        ("<ann@x.example>, Bob <BOB@x.example>", "<<email>>, Bob <<email-2>>"),
        ("from mailto:o'neil@sub.mail-host.co.uk", "from mailto:<email>"),
        ("jürgen@müller.example und 'ann@x.example'", "<email> und '<email-2>'"),
        ("ann@x.example wrote, then Ann@X.example", "<email> wrote, then <email>"),
        // Cards and accounts.
        ("card 4111 1111 1111 1111 12/26", "card <card> 12/26"),
        ("4111-1111-1111-1111,", "<card>,"),
        ("5555555555554444", "<card>"),
        ("Amex 3782 822463 10005", "Amex <card>"),
        ("IBAN DE89 3704 0044 0532 0130 00 bitte", "IBAN <iban> bitte"),
        ("GB29NWBK60161331926819", "<iban>"),
        ("fr14 2004 1010 0505 0001 3m02 606.", "<iban>."),
        ("NL91ABNA0417164300", "<iban>"),
        // Connection strings.
        ("postgres://app:s3cret@db.example:5432/orders", "postgres://app:<password>@db.example:5432/orders"),
        ("https://ann:p@ss@host.example/x", "https://ann:<password>@host.example/x"),
        ("redis://:pass@10.1.2.3:6379", "redis://:<password>@<ip>:6379"),
        ("Server=db1;Database=o;User Id=sa;Password=Xy z1;", "Server=db1;Database=o;User Id=sa;Password=<password>;"),
        (
            "AccountName=x;AccountKey=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==;EndpointSuffix=y",
            "AccountName=x;AccountKey=<secret>;EndpointSuffix=y",
        ),
        ("net use \\\\srv\\x /user:ann pwd=Abc123", "net use \\\\srv\\x /user:ann pwd=<password>"),
        // Keys and tokens.
        ("api_key: 9f8a7b6c5d4e", "api_key: <secret>"),
        ("X-Api-Key: abcDEF123456", "X-Api-Key: <secret>"),
        ("key=a1b2c3d4e5f6a7b8c9", "key=<secret>"),
        ("client_secret = \"8~Q-abc123def\"", "client_secret = \"<secret>\""),
        ("Authorization: Bearer abcdef1234567890ABCDEF", "Authorization: Bearer <secret>"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZDEyMw==", "Authorization: Basic <secret>"),
        ("AKIAIOSFODNN7EXAMPLE is ours", "<secret> is ours"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "<secret>"),
        ("xoxb-123456789012-abcdefGHIJ", "<secret>"),
        ("sk_live_abcdEFGH1234567890", "<secret>"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "<secret>"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlMQ", "<secret>"),
        ("https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXX", "https://hooks.slack.com/services/<secret>"),
        (
            "see -----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY----- ok",
            "see <private-key> ok",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\nand so on",
            "<private-key>\nand so on",
        ),
        (
            "cut:\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\nMIIE\n-----END PRIVATE KEY-----\nthanks",
            "cut:\n<private-key>\nthanks",
        ),
        // Together.
        (
            "Ann (ann@x.example, +49 30 1234567) on 10.1.2.3: pw: hunter2",
            "Ann (<email>, <phone>) on <ip>: pw: <password>",
        ),
    ] {
        check_kind(text, expected);
    }
}

#[test]
fn passwords_are_replaced() {
    for (text, expected) in [
        ("pw: hunter2", "pw: <password>"),
        ("PW hunter2!", "PW <password>"),
        ("id 17 pw 3276", "id 17 pw <password>"),
        ("pwd/Hunter2 works", "pwd/<password> works"),
        ("pw = s3cr3t;", "pw = <password>;"),
        ("Password: Summer2024!", "Password: <password>"),
        ("Passwort: Geheim", "Passwort: <password>"),
        ("user: ann, password: hunter, host: srv1", "user: ann, password: <password>, host: srv1"),
        ("Initialpasswort lautet Start#123", "Initialpasswort lautet <password>"),
        ("mot de passe : Soleil99", "mot de passe : <password>"),
        ("Mot de passe: bonjour", "Mot de passe: <password>"),
        ("contraseña: Verano.2024", "contraseña: <password>"),
        ("wachtwoord is Welkom01", "wachtwoord is <password>"),
        ("hasło: Lato2024", "hasło: <password>"),
        ("пароль: qwerty12", "пароль: <password>"),
        ("密码：abc12345", "密码：<password>"),
        ("old password was (ryljar42)", "old password was (<password>)"),
        ("my password is hunter2 since Monday", "my password is <password> since Monday"),
        ("the password is 'battery'", "the password is '<password>'"),
        ("password for the VPN is Blue-Sky42", "password for the VPN is <password>"),
        ("new password (temporary): Blue42sky", "new password (temporary): <password>"),
        ("password was changed to Blue42sky", "password was changed to <password>"),
        ("password changed to Blue42sky", "password changed to <password>"),
        ("{\"user\":\"ann\",\"password\":\"a b c\"}", "{\"user\":\"ann\",\"password\":\"<password>\"}"),
        ("<userPassword>abc</userPassword>", "<userPassword><password></userPassword>"),
        ("spring.datasource.password=tiger", "spring.datasource.password=<password>"),
        ("DB_PASSWORD=x7&next=1", "DB_PASSWORD=<password>&next=1"),
        ("**Password:** hunter2", "**Password:** <password>"),
        ("Password:\nhunter2x\nthanks", "Password:\n<password>\nthanks"),
        ("PIN: 4711 PUK=12345678", "PIN: <password> PUK=<password-2>"),
        ("old pw: Abc123 new pw: Def456", "old pw: <password> new pw: <password-2>"),
        ("password Hallo1234", "password <password>"),
        ("Passwort Sommer2024!", "Passwort <password>"),
        ("kennwort abc123xy geht nicht", "kennwort <password> geht nicht"),
        ("I set the password \"Hallo1234\" today", "I set the password \"<password>\" today"),
        ("new password Winter2023! please", "new password <password> please"),
        ("user ann password hunter22", "user ann password <password>"),
        ("password Password1", "password <password>"),
        ("password (Winter2024!)", "password (<password>)"),
        ("please reset her password to hunter3", "please reset her password to <password>"),
        ("reset password to 'hunter3", "reset password to '<password>"),
        ("bitte passwort zurücksetzen auf x", "bitte passwort zurücksetzen auf x"),
        ("zurücksetzen des passworts auf hunter3", "zurücksetzen des passworts auf <password>"),
        ("changed the password to: Herbst2023$", "changed the password to: <password>"),
        ("Passwort wurde auf Start123! zurückgesetzt", "Passwort wurde auf <password> zurückgesetzt"),
        ("reset her password as Welcome1!", "reset her password as <password>"),
        ("reset password to windows10", "reset password to windows10"),
        ("the password in our SAP is Herbst23", "the password in our SAP is <password>"),
        ("Passwort auf server2019 läuft ab", "Passwort auf server2019 läuft ab"),
        ("Psswd: Herbst22!", "Psswd: <password>"),
        ("contrasen\u{303}a: NfdLeak1!", "contrasen\u{303}a: <password>"),
        ("Password\nNextline99!\nthanks", "Password\n<password>\nthanks"),
    ] {
        check_kind(text, expected);
    }
}

#[test]
fn what_finds_the_article_stays() {
    for text in [
        "Outlook keeps asking for my password since this morning",
        "password reset",
        "Password reset for hanx123",
        "reset pw hanx123",
        "password expired",
        "Password: please reset",
        "Password: expired",
        "Passwort: vergessen",
        "Kennwort: abgelaufen!",
        "mot de passe : oublié",
        "password is expired, password is not working!",
        "my password is wrong",
        "password is case-sensitive and 8-16 characters long",
        "password is 90-day limited",
        "password error: 0x80070005",
        "please reset my password for supply_chain_software (user: beyh23)",
        "unlock pw for user: zhrg7",
        "password reset ticket: INC0012345",
        "password for the portal does not work",
        "password_management_tool password reset.",
        "Password - 2 attempts",
        "forgot my password, user name ann12",
        "password policy2, password reset2, passwords 123456",
        "password Windows10, password Office365, Passwort Outlook2016!",
        "reset password hanx123, forgot password ann1234",
        "password SRV-DB-01 PC00012345 ABC12345",
        "password $PassPhrase1, password %PASS1234%, password /etc/passwd2",
        "password 14days, password 1Password",
        "the newly reset password (password2)",
        "passwordless login with Hello123",
        "Passwortänderung: 12345678",
        "Password: ********",
        "Password: <password>",
        "Password:\nIssue: cannot log in",
        "Password:",
        "password: see https://portal.example/reset",
        "Password: https://portal.example/reset",
        "cd $PWD/depends/x86_64-pc && $PWD -daemon=1 $(pwd)/a1b2",
        "PASS: univalue/test_1, ngraph::pass::Serialize2()",
        "computer password is changed.|",
        "/PASSWORD= /ACCOUNTS=x1",
        "pinned tab, spinning: 1234, pin board",
        "pass the pin to 1234",
        "bypass: 3 times",
        "compass = broken",
        "token ring, token expired, token: RSA",
        "secretary: Ann Lee",
        "Secret Santa at 5",
        "primary key = id, foreign key: customer",
        "registry key: HKEY_LOCAL_MACHINE\\SOFTWARE\\X1",
        "key: 3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "Windows key + R, function key F12",
        "System.Data, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089",
        "monkey: banana1234567890123",
        "error 0x80070005, ORA-01017, KB5034441, SRV-DB-01",
        "SAP transaction VA01, SE38, /nSU53",
        "Windows 11 23H2 build 22631.4037",
        "Chrome 120.0.6099.130",
        "asset LT-004711, serial 5CG1234XYZ, PC00012345",
        "order 4500012345, 4006381333931, IMEI 490154203237518",
        "4111 1111 1111 1112 is no card",
        "DE89 3704 0044 0532 0130 01 is no account",
        "invoice 2024-000123, amount 1.234,56 EUR, $1,200.00",
        "\\\\srv-file01\\share\\team and https://intranet.example/a?b=1",
        "ssh://git@host.example/x and http://host:8080/a@b",
        "follow @desk, 5 @ 3, a@b, ann@localhost",
        "[cid:image001.png@01D2A3B4.C5D6E7F8]",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "----- begin quote -----",
        "sk-learn and eyJust and SG.",
        "akiaiosfodnn7example",
        "bearer of news",
        "0x1F4 at 10:15 on 01/02/2024",
        "00:1A:2B:3C:4D:5E",
        "room 101, floor 2, 3 users, 100%",
        "<name> <name> said <user> and <br>",
    ] {
        check_kind(text, text);
    }
}

#[test]
fn placeholders_are_known_again() {
    let redactor = Redactor::new(Vec::new(), [("badge", r"B\d+")]).unwrap();
    let text = "<email>, <email-2>, <badge>, <badges> and <email-x>; c@x.example B1 B22 B1";
    let read = redactor.read(text, &mut Numbers::default());
    let (made, offsets) = read.made.unwrap();
    assert_eq!(made, "<email>, <email-2>, <badge>, <badges> and <email-x>; <email-3> <badge-2> <badge-3> <badge-2>");
    let placeholders: Vec<_> = read.placeholders.iter().map(|bytes| &made[bytes.clone()]).collect();
    let expected = ["<email>", "<email-2>", "<badge>", "<email-3>", "<badge-2>", "<badge-3>", "<badge-2>"];
    assert_eq!(placeholders, expected);
    let sources: Vec<_> = read.placeholders.into_iter().map(|bytes| &text[offsets.source(bytes)]).collect();
    assert_eq!(sources, ["<email>", "<email-2>", "<badge>", "c@x.example", "B1", "B22", "B1"]);
    assert_eq!((name_of("<badge-2>"), name_of("<private-key>")), ("badge", "private-key"));
}

#[test]
fn the_desk_s_patterns_win_and_nothing_of_a_value_is_left() {
    let redactor = Redactor::new(
        vec![Kind::Ip],
        [
            ("employee", r"\bP\d{7}\b"),
            ("phone", r"#\d{4}\b"),
            ("site", r"@x\.example on \w+"),
            ("card-start", r"4111 1111"),
        ],
    );
    let redactor = redactor.unwrap();
    for (text, expected) in [
        ("P1234567 called from 10.1.2.3", "<employee> called from 10.1.2.3"),
        ("dial #4417 or +49 30 1234567", "dial <phone> or <phone-2>"),
        ("ann@x.example on floor", "<email>"),
        ("4111 1111 1111 1111", "<card>"),
    ] {
        assert_eq!(redactor.redacted(text), expected);
    }
}

#[test]
fn hostile_texts_are_read_in_linear_time() {
    let redactor = Redactor::new(Vec::new(), [("slow", r"(a+)+b"), ("wide", r"[a-z]{1,100}@x")]).unwrap();
    let units = [
        "a",
        "@",
        "a@",
        "a.",
        "a@b.",
        "://",
        "://a:",
        ":",
        "::",
        "1",
        "1 ",
        "1.",
        "1:",
        "+",
        "+1",
        "(0",
        "0-",
        "<",
        "<email",
        "<email>",
        "pw",
        "pw ",
        "pw:",
        "pw:\n",
        "password for ",
        "password is ",
        "password Aa1",
        "login: a / ",
        "admin:",
        "user",
        "key",
        "key=",
        "key is ",
        "eyJ",
        "sk-",
        "bearer ",
        "\"",
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY",
        "DE89",
        "DE89 3704 ",
        "é",
        "密码",
        "1.2.3.4 ",
        "a:b:",
        "4111 ",
        "tel 1",
        "<password>",
        "Aa1+/Aa1+/Aa1+/Aa1+/Aa1+/\n",
    ];
    for unit in units {
        let text = unit.repeat((64 << 10) / unit.len());
        let started = std::time::Instant::now();
        redactor.redacted(&text);
        // In release a few milliseconds; what is quadratic takes minutes.
        assert!(started.elapsed().as_secs() < 5, "{unit}: {:?}", started.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_once_and_for_all(
        text in "(\\PC|[a-z0-9 ]{3}| |\n|@|\\.|:|=|-|/|\\+|\\(|\\)|<|>|'|\"|ann@x.example|pw: |password |is |for |://|0171|\\+49 |10.1.2.3|::|fe80:|\
                 4111 1111 1111 1111|DE89370400440532013000|-----BEGIN PRIVATE KEY-----|-----END |key=|ab12cd34ef56ab12|AKIAIOSFODNN7EXAMPLE|\
                 <email>|<password-2>|tel |PIN: |</|hunter2|login: |admin:|Ab12!cd){0,30}",
    ) {
        let redactor = Redactor::default();
        let read = redactor.read(&text, &mut Numbers::default());
        let (made, offsets) = read.made.unwrap_or_else(|| (text.clone(), Offsets::default()));
        prop_assert_eq!(redactor.redacted(&made), made.as_str(), "{:?}", text);
        let mut end = 0;
        for (start, character) in made.char_indices() {
            let source = offsets.source(start..start + character.len_utf8());
            prop_assert!(text.get(source.clone()).is_some());
            prop_assert!(source.end >= end);
            end = source.end;
        }
        let again = redactor.read(&made, &mut Numbers::default()).placeholders;
        prop_assert_eq!(&again, &read.placeholders);
        for bytes in read.placeholders {
            prop_assert!(made[bytes.clone()].starts_with('<') && made[bytes].ends_with('>'));
        }
    }
}
