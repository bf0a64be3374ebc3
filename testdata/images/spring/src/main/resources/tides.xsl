<?xml version="1.0"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="text"/>
  <xsl:template match="/">
    <xsl:for-each select="//tide">
      <xsl:sort select="@height" data-type="number" order="descending"/>
      <xsl:value-of select="concat(@port, ' ', format-number(@height, '0.00'), '&#10;')"/>
    </xsl:for-each>
  </xsl:template>
</xsl:stylesheet>
