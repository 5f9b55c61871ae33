-- updated_at moves by trigger wherever the column is: what an operator edits by hand is seen to have changed, too.
create or replace trigger collections_touch before update on catalog_service.collections
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger indexer_checkpoints_touch before update on indexer_service.indexer_checkpoints
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger indexer_coverage_touch before update on indexer_service.indexer_coverage
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger processing_queue_touch before update on indexer_service.processing_queue
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger publisher_cursors_touch before update on indexer_service.publisher_cursors
    for each row execute function chain_registry_service.touch_updated_at();
create or replace trigger abi_decodings_touch before update on indexer_service.abi_decodings
    for each row execute function chain_registry_service.touch_updated_at();
