/* Encoder for frames of a sensor node, protocol version 1 (docs/protocol/sensor-node.md).
 *
 * C99, no heap, no library calls, no floating point; needs about 10 bytes of stack. Values are
 * fixed point, so that an 8-bit controller can make them with integers alone. Use:
 *
 *     solar_node_reading r = { 0 };
 *     r.node = 7; r.sequence = next++; r.uptime_s = seconds;
 *     r.has = SOLAR_NODE_POA | SOLAR_NODE_TEMP_MODULE;
 *     r.poa_deciwatt = 8125;          812.5 W/m2
 *     r.temp_module_centi = 4210;     42.10 degC
 *     size = solar_node_encode(&r, buffer, sizeof buffer);   then send `size` bytes
 */
#ifndef SOLAR_NODE_H
#define SOLAR_NODE_H

#include <stddef.h>
#include <stdint.h>

#define SOLAR_NODE_VERSION 1u
#define SOLAR_NODE_MAX_FRAME 36u /* bytes, both delimiters included */

/* Which values are there (`has`); one that is not measured is left out of the frame. */
#define SOLAR_NODE_POA 0x01u
#define SOLAR_NODE_TEMP_MODULE 0x02u
#define SOLAR_NODE_TEMP_AIR 0x04u
#define SOLAR_NODE_SUPPLY 0x08u
#define SOLAR_NODE_GHI 0x10u

/* What the node knows to be wrong (`status`). */
#define SOLAR_NODE_IRRADIANCE_FAULT 0x0001u
#define SOLAR_NODE_MODULE_FAULT 0x0002u
#define SOLAR_NODE_AIR_FAULT 0x0004u
#define SOLAR_NODE_SUPPLY_LOW 0x0008u
#define SOLAR_NODE_WATCHDOG_RESTART 0x0010u
#define SOLAR_NODE_GHI_FAULT 0x0020u

typedef struct {
    uint16_t node;
    uint16_t sequence;         /* one more for every frame; wraps to 0 */
    uint32_t uptime_s;         /* seconds since start */
    uint16_t status;
    uint8_t has;
    int16_t poa_deciwatt;      /* irradiance in the module plane, 0.1 W/m2 */
    int16_t temp_module_centi; /* 0.01 degC */
    int16_t temp_air_centi;    /* 0.01 degC */
    uint16_t supply_millivolt;
    int16_t ghi_deciwatt;      /* horizontal irradiance, 0.1 W/m2 */
} solar_node_reading;

/* Writes the frame of `reading` to `out`; returns its size, or 0 if `out_size` is smaller than
 * SOLAR_NODE_MAX_FRAME or a pointer is null. */
size_t solar_node_encode(const solar_node_reading *reading, uint8_t *out, size_t out_size);

#endif
