create or replace view loci.call_texts as
select
    t.call_id,
    t.called_at,
    t.organization_id,
    t.user_id,
    t.messages,
    t.answer
from loci_private.call_texts as t;
comment on view loci.call_texts is
'What was sent to chat models and what came back, while the setting chat_keep_texts is on. loci.erase_call_texts() erases.';
grant select on loci.call_texts to loci_admin;
