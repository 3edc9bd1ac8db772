-- noqa: disable=LT05
-- What is redacted unless told otherwise. A pattern that an administrator wrote, and whether it is enabled, stay as they are.
-- Regular expressions of Python's re module; what may be in them is checked by loci_udfs/redact.py.
insert into loci.redaction_patterns (name, kind, default_pattern, checksum, description) values
('email', 'email', $re$(?<![0-9A-Za-z._%+-])[0-9A-Za-z\u00c0-\u024f\u0370-\u04ff._%+-]{1,64}+@(?:[0-9A-Za-z\u00c0-\u024f\u0370-\u04ff-]{1,63}+\.){1,8}[A-Za-z\u00c0-\u024f\u0370-\u04ff]{2,24}+$re$, null, 'E-mail addresses.'),
('phone_international', 'phone', $re$\+(?<![0-9A-Za-z+]\+)[1-9](?>(?:[ \u00a0\u202f\u2009().\-\u2010\u2011\u2013/]{0,3}+[0-9]){6,14})(?![0-9])$re$, 'phone', 'Telephone numbers that begin with + and the country.'),
('phone_international_00', 'phone', $re$00(?<![0-9A-Za-z]00)(?<![0-9A-Za-z][-.,/]00)(?<![0-9] 00)[1-9][0-9]{0,2}+[ \u00a0\u202f(/-]{1,3}+[0-9](?>(?:[ \u00a0\u202f()/-]{0,3}+[0-9]){5,12})(?![0-9])$re$, 'phone', 'Telephone numbers that begin with 00 and the country.'),
('phone_north_america', 'phone', $re$(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/])(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[.-][0-9]{4}(?![0-9A-Za-z]|[-.][0-9A-Za-z])$re$, null, 'Telephone numbers such as (555) 123-4567 and 555-123-4567.'),
('phone_national', 'phone', $re$0(?<![0-9A-Za-z]0)(?<![0-9A-Za-z][-.,/]0)[1-9][0-9]{1,4}+\)?(?: ?/ ?[1-9][0-9]{4,7}+|-[1-9][0-9]{5,8}+|[ \u00a0][1-9](?>(?:[ \u00a0-]?+[0-9]){5,10}))(?![0-9A-Za-z]|[.,][0-9])$re$, 'phone', 'Telephone numbers with an area code, such as 030 1234567 and 0171/1234567.'),
('phone_pairs', 'phone', $re$0(?<![0-9A-Za-z]0)(?<![0-9A-Za-z][-.,/]0)[1-9](?:[ \u00a0.][0-9]{2}){4}(?![0-9A-Za-z]|[-.,][0-9A-Za-z])$re$, null, 'Telephone numbers in pairs, such as 01 23 45 67 89.'),
('phone_named', 'phone', $re$(?i:(?<![A-Za-z])(?>tel(?:efon|ephone|efono)?|phone|mobile?|cell|fax|handy|whatsapp)(?: ?(?:no|nr|number|nummer))?[.:#]{0,2}+[ \u00a0]{0,2}+)(?P<value>[(+]{0,2}+[0-9](?>(?:[ \u00a0\u202f().\-\u2011\u2013/]{0,2}+[0-9]){5,14}))$re$, 'phone', 'Numbers that follow a word such as phone or fax.'),
('card', 'card', $re$[2-6](?<![0-9A-Za-z][2-6])(?<![0-9A-Za-z][-.,_][2-6])[0-9]{3}(?>(?:[ \u00a0\u202f-]?+[0-9]){10,15})$re$, 'card', 'Credit and debit cards of the known networks, with a valid checksum (Luhn).'),
('iban', 'iban', $re$(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?>(?:[ \u00a0\u202f-]?+[0-9A-Za-z]){11,30})$re$, 'iban', 'Bank accounts of the countries that have IBAN, with a valid checksum.'),
('us_ssn', 'national_id', $re$(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z]|[-.][0-9A-Za-z])$re$, null, 'Social Security numbers of the United States.'),
('de_steuer_id', 'national_id', $re$(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/])[1-9][0-9](?:[ \u00a0]?[0-9]{3}){3}(?![0-9A-Za-z]|[.,][0-9])$re$, 'de_steuer_id', 'Tax identification numbers of Germany, with a valid checksum.'),
('gb_nino', 'national_id', $re$(?<![0-9A-Za-z])(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?[0-9]{2}){3} ?[A-D](?![0-9A-Za-z])$re$, null, 'National Insurance numbers of the United Kingdom.'),
('fr_nir', 'national_id', $re$(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/])[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9ABab] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?![0-9A-Za-z])$re$, 'fr_nir', 'Social Security numbers of France, with a valid checksum.'),
('es_dni', 'national_id', $re$(?<![0-9A-Za-z])(?<![0-9A-Za-z][-.,/])(?:[0-9]{8}|[XYZxyz]-?[0-9]{7})-?[A-Za-z](?![0-9A-Za-z])$re$, 'es_dni', 'Identity cards of Spain (DNI, NIE), with a valid letter.'),
('it_codice_fiscale', 'national_id', $re$(?<![0-9A-Za-z])[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z](?![0-9A-Za-z])$re$, 'it_codice_fiscale', 'Tax codes of Italy, with a valid check character.'),
('ch_ahv', 'national_id', $re$756(?<![0-9A-Za-z]756)[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}(?![0-9A-Za-z])$re$, 'ch_ahv', 'Social Security numbers of Switzerland, with a valid checksum.'),
('br_cpf', 'national_id', $re$(?<![0-9A-Za-z])[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![0-9A-Za-z])$re$, 'br_cpf', 'Tax numbers of Brazil (CPF), with valid check digits.'),
('secret_sk', 'secret', $re$sk-(?<![0-9A-Za-z_-]sk-)[0-9A-Za-z_-]{16,250}+$re$, 'token', 'API keys that begin with sk-.'),
('secret_github', 'secret', $re$(?:gh[pousr]_[0-9A-Za-z]{36,255}+|github_pat_[0-9A-Za-z_]{22,255}+)$re$, null, 'Tokens of GitHub.'),
('secret_gitlab', 'secret', $re$glpat-[0-9A-Za-z_-]{20,250}+$re$, null, 'Tokens of GitLab.'),
('secret_aws', 'secret', $re$A[KS]IA(?<![0-9A-Za-z]A[KS]IA)[0-9A-Z]{16}(?![0-9A-Za-z])$re$, 'token', 'Access keys of AWS.'),
('secret_google', 'secret', $re$AIza[0-9A-Za-z_-]{35}$re$, null, 'API keys of Google.'),
('secret_slack', 'secret', $re$xox[abeoprs]-[0-9A-Za-z-]{10,250}+$re$, 'token', 'Tokens of Slack.'),
('secret_stripe', 'secret', $re$(?<![0-9A-Za-z])(?:[rps]k_(?:live|test)|whsec)_[0-9A-Za-z]{16,250}+$re$, 'token', 'Keys of Stripe.'),
('secret_prefixed', 'secret', $re$(?<![0-9A-Za-z])(?:hf_|npm_|dop_v1_|pypi-|shpat_|SG\.)[0-9A-Za-z._-]{28,250}+$re$, 'token', 'Tokens of Hugging Face, npm, DigitalOcean, PyPI, Shopify and SendGrid.'),
('secret_jwt', 'secret', $re$eyJ[0-9A-Za-z_-]{8,4000}+\.eyJ[0-9A-Za-z_-]{8,8000}+\.[0-9A-Za-z_-]{0,2000}+$re$, null, 'JSON Web Tokens.'),
('secret_private_key', 'secret', $re$(?>-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----)(?>(?>[^-]{1,200}+|-(?!----)){0,60})(?:-----END [A-Z ]{0,40}+-----)?$re$, null, 'Private keys in PEM form.'),
('secret_bearer', 'secret', $re$(?i:(?<![A-Za-z])bearer )(?P<value>[0-9A-Za-z._~+/=-]{20,4000}+)$re$, 'token', 'Tokens in authorization headers.'),
('secret_assigned', 'secret', $re$(?i:(?<![A-Za-z])(?>api[_-]?key|secret[_-]?key|client[_-]?secret|secret|access[_-]?token|auth[_-]?token|token|passw(?:or)?d|passwort|passphrase|pwd|private[_-]?key)["']?[ \t]{0,3}+(?::|=>|=)[ \t]{0,3}+["']?)(?P<value>[^\s"'<>,;&]{6,200}+)$re$, 'secret', 'What is assigned to a name such as password or api_key.'),
('secret_url', 'secret', $re$://[^\s:/@]{1,100}+:(?P<value>[^\s/@]{3,200}+)@$re$, null, 'Passwords in addresses.')
on conflict (organization_id, name) do update set
kind = excluded.kind, default_pattern = excluded.default_pattern, checksum = excluded.checksum,
description = excluded.description;
