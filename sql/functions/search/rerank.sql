create or replace function loci_private.rerank(question text, passages text [], config jsonb)
returns double precision []
language plpython3u volatile parallel unsafe
as $$
from loci_udfs import helpers
return helpers.rerank(plpy, question, passages, config)
$$;
comment on function loci_private.rerank(text, text [], jsonb) is 'How relevant each passage is to a question, as the reranking model says, in their order.';
revoke execute on function loci_private.rerank(text, text [], jsonb) from public;
