/* See solar_node.h. Bytes are stuffed (COBS) while they are written: no second buffer is needed. */
#include "solar_node.h"

typedef struct {
    uint8_t *out;
    size_t length;
    size_t code_at; /* where the distance to the next zero goes */
    uint16_t crc;
} writer;

static void finish_block(writer *w)
{
    w->out[w->code_at] = (uint8_t)(w->length - w->code_at);
    w->code_at = w->length++;
}

/* One byte of content. A frame is far shorter than 254 bytes: no block is ever full. */
static void put_stuffed(writer *w, uint8_t byte)
{
    if (byte == 0u) {
        finish_block(w);
    } else {
        w->out[w->length++] = byte;
    }
}

/* CRC-16/CCITT-FALSE, bit by bit: a table would take 512 bytes of flash. */
static void put(writer *w, uint8_t byte)
{
    uint8_t bit;

    w->crc = (uint16_t)(w->crc ^ ((uint16_t)byte << 8));
    for (bit = 0u; bit < 8u; bit++) {
        if ((w->crc & 0x8000u) != 0u) {
            w->crc = (uint16_t)((uint16_t)(w->crc << 1) ^ 0x1021u);
        } else {
            w->crc = (uint16_t)(w->crc << 1);
        }
    }
    put_stuffed(w, byte);
}

static void put16(writer *w, uint16_t value)
{
    put(w, (uint8_t)(value & 0xFFu));
    put(w, (uint8_t)(value >> 8));
}

static void put_field(writer *w, uint8_t number, uint16_t value)
{
    put(w, number);
    put(w, 2u);
    put16(w, value);
}

size_t solar_node_encode(const solar_node_reading *reading, uint8_t *out, size_t out_size)
{
    writer w;
    uint16_t crc;

    if (reading == NULL || out == NULL || out_size < SOLAR_NODE_MAX_FRAME) {
        return 0u;
    }
    w.out = out;
    w.out[0] = 0u; /* ends what noise may have begun */
    w.code_at = 1u;
    w.length = 2u;
    w.crc = 0xFFFFu;

    put(&w, SOLAR_NODE_VERSION);
    put16(&w, reading->node);
    put16(&w, reading->sequence);
    put16(&w, (uint16_t)(reading->uptime_s & 0xFFFFu));
    put16(&w, (uint16_t)(reading->uptime_s >> 16));
    put16(&w, reading->status);
    if ((reading->has & SOLAR_NODE_POA) != 0u) {
        put_field(&w, 1u, (uint16_t)reading->poa_deciwatt);
    }
    if ((reading->has & SOLAR_NODE_TEMP_MODULE) != 0u) {
        put_field(&w, 2u, (uint16_t)reading->temp_module_centi);
    }
    if ((reading->has & SOLAR_NODE_TEMP_AIR) != 0u) {
        put_field(&w, 3u, (uint16_t)reading->temp_air_centi);
    }
    if ((reading->has & SOLAR_NODE_SUPPLY) != 0u) {
        put_field(&w, 4u, reading->supply_millivolt);
    }
    if ((reading->has & SOLAR_NODE_GHI) != 0u) {
        put_field(&w, 5u, (uint16_t)reading->ghi_deciwatt);
    }
    crc = w.crc; /* the CRC itself is not part of what it covers */
    put_stuffed(&w, (uint8_t)(crc & 0xFFu));
    put_stuffed(&w, (uint8_t)(crc >> 8));
    out[w.code_at] = (uint8_t)(w.length - w.code_at);
    out[w.length++] = 0u;
    return w.length;
}
